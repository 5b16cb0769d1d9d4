"""One place where errors become one line and an exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn bad input into one line on stderr and exit code 2, and Ctrl-C into a hint and 130; else let errors pass."""

    @functools.wraps(command)
    def guard(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            _say("interrupted. What was finished is kept: give the same command with --resume to go on.")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # the reader of our output closed it, as `head` does
            sys.stderr.close()
            raise typer.Exit(0) from None
        except (OSError, ValueError, TypeError) as error:
            if not _is_users(error):
                raise
            _say(" ".join(str(error).split()))
            raise typer.Exit(BAD_INPUT) from None

    return guard


def _is_users(error: Exception) -> bool:
    """Whether the input is to blame: our own input errors, and files that are missing or not ours to read or write."""
    if isinstance(error, OSError):
        return isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError))
    from labelwise.base import InputError

    return isinstance(error, InputError)


def _say(text: str) -> None:
    print(f"labelwise: {text}", file=sys.stderr)
