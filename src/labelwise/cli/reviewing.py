"""``labelwise review``: the page in a browser, and decisions in and out without it."""

from __future__ import annotations

import importlib.util
import json as jsonlib
import sys
import webbrowser
from pathlib import Path
from threading import Thread
from typing import Any

from labelwise import disk
from labelwise.base import InputError
from labelwise.review.desk import Review

FORMS = {".csv": "csv", ".parquet": "parquet", ".json": "label-studio"}


def review(
    run: str, *, port: int | None, browser: bool, annotator: str | None, export: str | None, import_: str | None,
    overwrite: bool, json: bool,
) -> None:  # fmt: skip
    """Open the page until Ctrl-C; with an export or import, do that and end."""
    if export is None and import_ is None:
        _need_server()
    else:
        _checked_export(export, overwrite)
    desk = Review(run, annotator, holder="a review page" if export is None and import_ is None else "labelwise review")
    try:
        if export is None and import_ is None and not len(desk.cards):
            _nothing(desk, json=json)
        elif export is None and import_ is None:
            _serve(desk, port, browser=browser, json=json)
        else:
            _exchange(desk, export, import_, json=json)
    finally:
        desk.close()


def _nothing(desk: Review, *, json: bool) -> None:
    if json:
        _print_json({"run": str(desk.run), "url": None, "cards": 0, "decided": 0})
    else:
        print(f"There is nothing to review in {desk.run}: no label is flagged, and no row is asked for.")


def _need_server() -> None:
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"the review page needs {' and '.join(missing)}. Install them with: pip install 'labelwise[review]'."
        )


def _checked_export(export: str | None, overwrite: bool) -> None:
    if export is None:
        return
    path = Path(export)
    if path.suffix.lower() not in FORMS:
        raise InputError(f"--export: {path} must end in {', '.join(FORMS)} (.json is for Label Studio).")
    if path.exists() and not overwrite:
        raise InputError(f"--export: {path} exists already. Add --overwrite, or name another file.")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--export: there is no directory {path.absolute().parent}. Make it first.")


def _exchange(desk: Review, export: str | None, import_: str | None, *, json: bool) -> None:
    """Take labels in first, so that what goes out has them."""
    from labelwise.review import exchange

    told: dict[str, Any] = {"run": str(desk.run)}
    if import_ is not None:
        told |= exchange.import_file(desk, import_)
    if export is not None:
        path, form = Path(export), FORMS[Path(export).suffix.lower()]
        if form == "label-studio":  # whole texts, not previews
            desk.material.start()
            desk.material.wait()
        content = exchange.export(desk, form)
        disk.write(path, content)
        told |= {"export": str(path)}
    if json:
        _print_json(told | {"progress": desk.progress()})
        return
    if import_ is not None:
        print(f"{told['imported']:,} labels of {import_} are decisions now; {told['skipped']:,} were passed over.")
    if export is not None:
        print(f"Written: {export}. {_decided(desk)}")


def _serve(desk: Review, port: int | None, *, browser: bool, json: bool) -> None:
    from labelwise.review import server

    wanted, token = server.listen(port), server.token_of(desk.run)
    url = server.address(wanted, token)
    before = desk.progress()

    def started() -> None:
        _greet(desk, url, json=json)
        if browser:
            Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    desk.store.tell_owner(f"a review page at {url.partition('?')[0]}")
    try:
        server.serve(desk, wanted, token, started)
    except KeyboardInterrupt:
        pass
    finally:
        wanted.close()
    if not json:
        print(f"\n{_farewell(desk, before)}")


def _greet(desk: Review, url: str, *, json: bool) -> None:
    if json:
        _print_json({"run": str(desk.run), "url": url, "cards": len(desk.cards), "decided": _count(desk)})
    else:
        left = len(desk.cards) - _count(desk)
        print(
            f"{len(desk.cards):,} cards to review in {desk.run}, {left:,} of them undecided. Ctrl-C ends the page.\n\n{url}"
        )
    sys.stdout.flush()


def _farewell(desk: Review, before: dict[str, Any]) -> str:
    now = desk.progress()
    fresh = sum(now[name] - before[name] for name in ("changed", "kept", "labelled"))
    said = f"Cards decided this time: {fresh:,}. " if fresh > 0 else ""
    return f"{said}{_decided(desk)}"


def _decided(desk: Review) -> str:
    """Say what was decided, and what to do with it."""
    told = desk.progress()
    others = len({one.row for one in desk.store.live() if one.label is not None and one.row not in desk.cards})
    if not _count(desk) and not others:
        return f"No card is decided yet. Go on with: labelwise review {desk.run}"
    parts = [
        (told["changed"], "changed"),
        (told["kept"], "confirmed"),
        (told["labelled"], "given to rows without one"),
        (others, "of rows that are no cards"),
    ]
    words = ", ".join(f"{count:,} {name}" for count, name in parts if count) or "none settled"
    torn = f" Disputed, and left as they were: {told['disputed']:,}." if told["disputed"] else ""
    return f"Labels in all: {words}.{torn} Next: {desk.next}"


def _count(desk: Review) -> int:
    return int((desk.tally.together != -3).sum())


def _print_json(content: dict[str, Any]) -> None:
    """Print one JSON document; `labelwise.cli.commands` has this too, but takes seconds to import."""
    print(jsonlib.dumps(content, indent=1, ensure_ascii=False, default=str))
