"""One call to a chat server: sent, waited for, checked; and what went wrong told apart."""

from __future__ import annotations

import http.client
import json
import math
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

LONGEST = 2**24
"""Bytes of an answer that are read; more is nonsense."""
AGAIN = frozenset({408, 409, 425, 429})


class Failure(Exception):
    """A call without a usable answer.

    Attributes
    ----------
    again
        Whether it is worth trying again.
    billed
        Whether the server may have counted the call.
    after
        Seconds that the server asks to wait.
    """

    def __init__(self, told: str, *, again: bool = True, billed: bool = True, after: float = 0.0) -> None:
        super().__init__(told)
        self.again, self.billed, self.after = again, billed, after


@dataclass(frozen=True)
class Reply:
    """What a model said, how probable its words were (None: not told), and how many tokens it read and wrote."""

    text: str
    probability: float | None
    tokens: tuple[int, int] | None


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirects: the key is for the server it was given for."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post(url: str, body: dict[str, Any], key: str | None, timeout: float) -> Reply:
    """Ask a server once.

    Raises
    ------
    Failure
        Whatever goes wrong, in words that do not hold the key.
    """
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    try:
        return read_reply(_fetched(request, timeout))
    except urllib.error.HTTPError as error:
        raise _refusal(error, key) from None
    except TimeoutError:
        raise Failure(f"no answer within {timeout:g} seconds") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise Failure(f"no answer within {timeout:g} seconds") from None
        raise Failure(f"no connection ({error.reason})", billed=False) from None
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"the connection broke ({type(error).__name__})") from None


def _fetched(request: urllib.request.Request, timeout: float) -> bytes:
    """Read the whole answer within `timeout` seconds, however slowly it drips."""
    end = time.monotonic() + timeout
    with urllib.request.build_opener(_Stay).open(request, timeout=timeout) as response:
        pieces, size = [], 0
        while piece := response.read1(65536):
            pieces.append(piece)
            size += len(piece)
            if time.monotonic() > end:
                raise TimeoutError
            if size > LONGEST:
                raise Failure(f"an answer of more than {LONGEST} bytes")
        if response.length:  # fewer bytes than announced
            raise http.client.IncompleteRead(b"", response.length)
    return b"".join(pieces)


def _refusal(error: urllib.error.HTTPError, key: str | None) -> Failure:
    with error:
        try:
            told = error.read(2000).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            told = ""
    told = " ".join((told.replace(key, "***") if key else told).split())[:200]
    wait = error.headers.get("Retry-After", "") if error.headers else ""
    after = float(wait) if wait.strip().isdigit() else 0.0
    again = error.code in AGAIN or error.code >= 500
    return Failure(f"HTTP {error.code}{': ' + told if told else ''}", again=again, billed=False, after=after)


def read_reply(body: bytes) -> Reply:
    """Read a chat completion.

    Raises
    ------
    Failure
        When it is none.
    """
    try:
        data = json.loads(body)
        choice = data["choices"][0]
        text = choice["message"]["content"] or ""
        if not isinstance(text, str):
            raise TypeError
    except (ValueError, LookupError, TypeError):
        raise Failure(f"an answer that is no chat completion ({body[:80]!r})") from None
    return Reply(text, _probability(choice), _tokens(data))


def _probability(choice: dict[str, Any]) -> float | None:
    """Return the probability of the words said, from the log-probabilities of their tokens."""
    try:
        total = math.fsum(float(token["logprob"]) for token in choice["logprobs"]["content"])
        some = len(choice["logprobs"]["content"]) > 0
    except (LookupError, TypeError, ValueError):
        return None
    return min(1.0, math.exp(total)) if some and not math.isnan(total) and total < 1 else None


def _tokens(data: dict[str, Any]) -> tuple[int, int] | None:
    try:
        read, written = int(data["usage"]["prompt_tokens"]), int(data["usage"]["completion_tokens"])
    except (LookupError, TypeError, ValueError):
        return None
    return (read, written) if read >= 0 and written >= 0 else None
