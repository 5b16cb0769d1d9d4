from __future__ import annotations

import pytest
import torch
from joblib import cpu_count
from threadpoolctl import threadpool_info

from labelwise.parts.threads import cores, single_thread


def test_everything_has_one_thread_and_gets_its_own_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    pools = [pool["num_threads"] for pool in threadpool_info()]
    try:
        with pytest.raises(ZeroDivisionError), single_thread():
            assert torch.get_num_threads() == 1
            assert {pool["num_threads"] for pool in threadpool_info()} == {1}
            _ = 1 / 0
        assert torch.get_num_threads() == 2
        assert [pool["num_threads"] for pool in threadpool_info()] == pools
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("told", "most"), [({}, cpu_count()), ({"OMP_NUM_THREADS": "1"}, 1), ({"OMP_NUM_THREADS": "4,1"}, 1),
                       ({"OMP_NUM_THREADS": "many"}, cpu_count()), ({"OMP_NUM_THREADS": "10000"}, cpu_count())],
)  # fmt: skip
def test_cores_are_those_allowed(told, most):
    assert cores(told) == most
    assert cores(told) >= 1
