"""A child process that opens files of strangers under watch, and tells what Python was made to do meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

WATCH = '''
import json, os, resource, sys, sysconfig, traceback
sys.dont_write_bytecode = True
events = []
ACTS = ("os.system", "os.exec", "os.fork", "os.forkpty", "os.spawn", "os.posix_spawn", "os.startfile", "subprocess.Popen",
        "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "urllib.Request", "http.client.connect",
        "ctypes.dlopen", "pickle.find_class", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink",
        "os.chmod", "os.chown", "os.truncate", "shutil.rmtree", "shutil.move", "shutil.copyfile", "webbrowser.open",
        "code.__new__", "builtins.input", "sys.unraisablehook", "ftplib.connect", "smtplib.connect")
HOMES = tuple(os.path.realpath(path) for path in (SOURCE, sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()))
MAKERS = ("/dataclasses.py", "/collections/__init__.py", "/enum.py", "/typing.py", "importlib/_bootstrap", "importlib._boot")

def ours(file):
    return os.path.realpath(file).startswith(HOMES) or file.startswith("<frozen")

def made():
    """Whether code on the stack writes classes, as the standard library does for dataclasses and named tuples."""
    frame = sys._getframe(2)
    while frame is not None:
        if any(maker in frame.f_code.co_filename for maker in MAKERS):
            return True
        frame = frame.f_back
    return False

def wrong(event, args):
    if event in ACTS:
        return True
    if event == "open":
        path, mode, flags = args
        writes = any(letter in (mode or "") for letter in "wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return bool(writes) and str(path) != os.devnull
    if event == "import":
        file = args[1]
        return isinstance(file, str) and not ours(file)
    if event == "exec":
        file = args[0].co_filename
        return not ours(file) and not made()
    if event == "compile":
        parsed = args[1] == "<unknown>"  # by ast: what is parsed is not run, and running it would be an event of its own
        return not parsed and not (isinstance(args[1], str) and ours(args[1])) and not made()
    return False

def hook(event, args):
    if watching and wrong(event, args):
        events.append(f"{event} {args!r}"[:300] + "".join(traceback.format_stack(limit=12)))
        raise PermissionError(f"the canary died of {event}")

watching = []
sys.addaudithook(hook)
'''

LOAD = """
from labelwise.persistence import load
WARM()
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outcome = {}
for name in sys.argv[1:]:
    watching.append(1)
    try:
        made = load(name)
        outcome[name] = "loaded " + type(made).__name__
        try:
            made.proba(ROWS)
        except Exception:
            pass
    except Exception as error:
        outcome[name] = f"{type(error).__name__}: {error}"
    finally:
        watching.clear()
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024
print(json.dumps({"outcome": outcome, "events": events, "megabytes": grown}))
"""


def watched(code: str, *arguments: str, cwd: Path, timeout: float = 120) -> Any:
    """Run `code` after the watch is set up (it begins where `watching` is filled); return the JSON that it prints last."""
    whole = f"SOURCE = {str(ROOT / 'src')!r}\n{WATCH}\n{code}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LABELWISE_CACHE": ""}
    done = subprocess.run(
        [sys.executable, "-c", whole, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def loaded(folders: list[Path], warm: Path, cwd: Path) -> Any:
    """Load models and predict with what loads; `warm` is an honest one, loaded before for what it imports.

    Returns
    -------
    dict
        ``outcome`` by folder, the ``events`` that must not be, and by how many ``megabytes`` the process grew.
    """
    code = LOAD.replace("WARM()", f"load({str(warm)!r}).proba([[0.0] * 4])").replace("ROWS", "[[0.0] * 4]")
    return watched(code, *map(str, folders), cwd=cwd)
