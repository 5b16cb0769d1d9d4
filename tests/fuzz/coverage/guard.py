"""What no file may make the process do while it is read: run a program, reach the network, unpickle, write elsewhere."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.fork", "subprocess.Popen", "socket.connect",
    "socket.bind", "socket.getaddrinfo", "pickle.find_class", "ctypes.dlopen", "ctypes.call_function", "webbrowser.open",
    "urllib.Request", "code.__new__", "shutil.rmtree.outside",
)  # fmt: skip
WRITES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.symlink", "os.truncate")
KNOWN = frozenset({"labelwise", "sklearn", "skrub", "skops", "numpy", "scipy", "pandas", "torch", "pyarrow"})
"""Packages that reading may import, beside Python's own library."""


class Escape(BaseException):
    """Something forbidden was about to happen; no handler of ordinary errors may swallow it."""


class Guard:
    """An audit hook that is on between ``on()`` and ``off()``; files may be written under `folder` only."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.active, self.seen = str(folder), False, ""
        self.before: frozenset[str] = frozenset()
        sys.addaudithook(self._hook)

    def on(self) -> None:
        """Start to watch."""
        self.before, self.seen, self.active = frozenset(sys.modules), "", True

    def off(self) -> str:
        """Stop, and return what forbidden thing was seen, even if its exception was swallowed; empty if nothing was."""
        self.active = False
        fresh = {name.partition(".")[0] for name in set(sys.modules) - self.before}
        strange = sorted(fresh - KNOWN - set(sys.stdlib_module_names) - {n.partition(".")[0] for n in self.before})
        return self.seen or (f"import of {strange}" if strange else "")

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event in FORBIDDEN or (event in WRITES and self._outside(arguments[0])):
            self._stop(f"{event} {arguments!r:.200}")
        if event == "open" and self._writes(arguments) and self._outside(arguments[0]):
            self._stop(f"open for writing {arguments!r:.200}")

    def _stop(self, what: str) -> None:
        self.seen = what
        raise Escape(what)

    def _writes(self, arguments: tuple[Any, ...]) -> bool:
        mode = arguments[1]
        return isinstance(mode, str) and any(letter in mode for letter in "wax+")

    def _outside(self, path: Any) -> bool:
        text = str(path)
        inside = text.startswith((self.folder, tempfile.gettempdir())) or "__pycache__" in text or isinstance(path, int)
        return not inside and text not in ("/dev/null",)
