"""One place where errors become one line and an exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

FAILED, BAD_INPUT, NO_ROOM, INTERRUPTED = 1, 2, 3, 130

RESUMED = ("run", "audit")
"""Commands that go on where they were."""

P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn bad input into one line on stderr and exit code 2, a full disk into 3, Ctrl-C into 130; let others pass."""

    @functools.wraps(command)
    def guard(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            _say(f"interrupted. {_again(command.__name__)}")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # the reader of our output closed it, as `head` does
            sys.stderr.close()
            raise typer.Exit(0) from None
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            from labelwise.disk import trouble

            refused = trouble(error)
            if refused is not None:
                _say(f"{refused}. Nothing that was whole is changed. {_again(command.__name__)}")
                raise typer.Exit(NO_ROOM) from None
            if not _is_users(error):
                raise
            _say(" ".join(str(error).split()))
            raise typer.Exit(BAD_INPUT) from None

    return guard


def _again(command: str) -> str:
    """Say how to go on after an end that was not the command's own."""
    if command in RESUMED:
        return "What was finished is kept: give the same command with --resume to go on."
    return "Give the same command again."


def _is_users(error: Exception) -> bool:
    """Whether the input is to blame: our own input errors, and files that are missing or not ours to read or write."""
    if isinstance(error, OSError):
        return isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError))
    from labelwise.base import InputError

    return isinstance(error, InputError)


def _say(text: str) -> None:
    print(f"labelwise: {text}", file=sys.stderr)
