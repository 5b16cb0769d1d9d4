"""`labelwise forget`: withdraw rows from a model, with a certificate."""

from __future__ import annotations

from typing import Any

from labelwise import catalogue
from labelwise.unlearning import Certificate


def forget(
    model: str, *, rows: str | None, id: str | None, classes: list[str], domains: list[str], table: str | None,
    method: str, params: list[str], compare: bool, test: str | None, out: str, overwrite: bool, seed: int, json: bool,
    **columns: Any,
) -> None:  # fmt: skip
    """Withdraw the rows, write the new model and its certificate, and say what came out."""
    from labelwise.cli.commands import print_json, settings_of
    from labelwise.withdraw import Request, Which, withdraw

    described = None if table is None else {"source": table, "seed": seed, **columns}
    request = Request(
        model, Which(rows, id, classes, domains), described, test, method,
        settings_of(catalogue.find(method).cls, params), compare, out, overwrite, seed,
    )  # fmt: skip
    place, certificate = withdraw(request)
    if json:
        print_json({"out": str(place), "certificate": str(place / "certificate.html"), **certificate.as_dict()})
        return
    print(certificate.describe())
    print(_advice(certificate, method))
    print(f"\nModel: {place / 'model'}\nCertificate: {(place / 'certificate.html').absolute()}")


def _advice(certificate: Certificate, method: str) -> str:
    """Say what to do with the verdicts."""
    if "not met" in [certificate.verdicts.get(name) for name in ("forgotten rows", "membership")]:
        return f"The rows still show. Take --method Retrain, which is exact, or change the settings of {method}."
    if method.lower() == "retrain":
        return "Trained again without the rows: nothing of them is in the new weights."
    return (
        "Behaviour is as after retraining where it was measured; that is no proof. The page says what was not checked."
    )
