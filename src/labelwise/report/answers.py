"""The five questions of a report, each answered in a sentence or two from ``run.json``; unknown is said as such.

Nothing here imports more than the standard library: the command line prints its summary with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from labelwise.report import content, wording
from labelwise.report.actions import actions
from labelwise.report.content import estimate
from labelwise.report.wording import clean, count, number, percent, plural, sentence

UNSURE = 0.98
"""An interval wider than this says nothing."""


@dataclass(frozen=True)
class Answer:
    """A question, the section that deals with it, and its answer."""

    section: str
    question: str
    text: str


def answers(info: Mapping[str, Any], leaderboard: Iterable[Mapping[str, Any]] = ()) -> list[Answer]:
    """Answer the five questions in the order in which a reader asks them.

    >>> [answer.question for answer in answers({})]  # doctest: +NORMALIZE_WHITESPACE
    ['Can I trust my labels?', 'What does it cost me?', 'What should I do next?',
     'How good is the model, and for whom?', 'What was tried?']
    """
    return [
        Answer("trust", "Can I trust my labels?", trust(info)),
        Answer("cost", "What does it cost me?", cost(info)),
        Answer("next", "What should I do next?", then(info)),
        Answer("model", "How good is the model, and for whom?", model(info)),
        Answer("tried", "What was tried?", tried(info, [*leaderboard])),
    ]


# -- can I trust my labels?


def trust(info: Mapping[str, Any]) -> str:
    """Say how many labels look wrong, how sure that is, and what else is seriously wrong with them."""
    return " ".join(filter(None, (_labels(info), _worse(info))))


def _labels(info: Mapping[str, Any]) -> str:
    found, share = content.label_errors(info), content.error_share(info)
    if found is None:
        return _unflagged(info)
    rows = plural(found.get("count"), "row")
    known = estimate(share)
    if known is None:
        return f"Not all of them: {rows} are flagged. How many labels are wrong in all, nobody can say from these data."
    value, low, high = known
    spread = wording.span("share", low, high)
    told = f"about {percent(value)} of the labels look wrong" + (
        f" (between {spread.replace(' to ', ' and ')})" if spread else ""
    )
    return f"{_degree(value, high)}: {told}, and {rows} {'is' if rows == '1 row' else 'are'} flagged.{_precision(info)}"


def _degree(value: float, high: float | None) -> str:
    worst = value if high is None else high
    if worst < 0.01:
        return "Yes, nearly all of them"
    if value < 0.03:
        return "Mostly"
    return "Not all of them" if value < 0.1 else "Not without a check"


def _precision(info: Mapping[str, Any]) -> str:
    """Say how many of the first flagged rows are truly wrong."""
    curve = [
        item for item in content.listing(info, "audit", "precision_curve") if number(item.get("precision")) is not None
    ]
    first = next((item for item in curve if (number(item.get("flagged")) or 0) >= 50), curve[-1] if curve else None)
    if first is None:
        return ""
    low, high = number(first.get("low")), number(first.get("high"))
    if low is None or high is None or high - low > UNSURE:
        return ""
    spread = wording.span("precision", low, high)
    right = f"{percent(first['precision'])}" + (f" ({spread})" if spread else "")
    return f" Of the first {count(first.get('flagged'))}, expect {right} to be truly wrong."


def _unflagged(info: Mapping[str, Any]) -> str:
    checked = content.part(info, "audit", "checked")
    outcome = clean(checked.get("label errors"), 200)
    if outcome == "nothing found":
        looked = sum(not str(said).startswith("not checked") for said in checked.values())
        return f"Yes, as far as these data can tell: no sign of wrong labels in {plural(looked, 'check')}."
    why = outcome.removeprefix("not checked").lstrip(": ").rstrip(".") if outcome.startswith("not checked") else ""
    return sentence(f"Cannot say: wrong labels were not looked for{f' ({why})' if why else ''}")


def _worse(info: Mapping[str, Any]) -> str:
    """Name the other findings that are critical or major."""
    serious = [
        item for item in content.findings(info)
        if content.severity(item) in ("critical", "major") and not content.is_label_error(item.get("kind"))
    ]  # fmt: skip
    if not serious:
        return ""
    titles = [clean(item.get("title") or item.get("kind"), 120).rstrip(".") for item in serious[:2]]
    more = f" and {count(len(serious) - 2)} more" if len(serious) > 2 else ""
    return f"Besides: {'; '.join(titles)}{more}."


# -- what does it cost me?


def cost(info: Mapping[str, Any]) -> str:
    """Say what mending the findings promises, or why that is not known."""
    found, known = content.findings(info), content.gains(info)
    if not found:
        return (
            "Nothing was found whose mending would pay."
            if content.part(info, "audit")
            else "Cannot say: there was no audit."
        )
    if not known:
        return _unknown_cost(found)
    proven = [(item, gain) for item, gain in known if (number(gain.get("low")) or 0) > 0]
    item, gain = proven[0] if proven else known[0]
    promise = f"{gain_text(gain)} of {wording.words_of(gain.get('metric'))}"
    action = clean(gain.get("action"), 120) or clean(item.get("title"), 120)
    if not proven:
        return f"Nothing proven: the largest promise is {promise} ({action}), which may be chance."
    more = len(proven) - 1
    rest = f" {plural(more, 'other finding')} {'promises' if more == 1 else 'promise'} something too." if more else ""
    return f"At least something: to {action} promises {promise}.{rest}"


def _unknown_cost(found: list[Mapping[str, Any]]) -> str:
    reasons = [clean(item.get("no_gain"), 200) for item in found]
    said = next(filter(None, reasons), "this run did not estimate what mending its findings would bring")
    return f"Cannot say: {said.rstrip('.')}."


def gain_text(gain: Mapping[str, Any]) -> str:
    """Gain with its interval: ``+1.2 points (+0.4 to +2.0)``."""
    metric = str(gain.get("metric") or "")
    spread = wording.difference_span(metric, gain.get("low"), gain.get("high"))
    return wording.difference(metric, gain.get("value")) + (f" ({spread})" if spread else "")


# -- what should I do next?


def then(info: Mapping[str, Any]) -> str:
    """Name the first action and how many follow."""
    todo = actions(info)
    if not todo:
        return "Nothing in particular: no finding asks for it, and there are no rows to label."
    first, *others = todo
    verb = first.promise.lower()
    promise = (
        f", which {verb} {gain_text(first.gain)} of {wording.words_of(first.gain.get('metric'))}" if first.gain else ""
    )
    rest = f" Then {others[0].title[:1].lower()}{others[0].title[1:].rstrip('.')}." if others else ""
    return f"{first.title.rstrip('.')}{promise}.{rest}"


# -- how good is the model, and for whom?


def model(info: Mapping[str, Any]) -> str:
    """Say the score of the model and where it errs more than elsewhere."""
    found = content.chosen_score(info)
    if found is None:
        return "Cannot say: no model was trained."
    where, metric, score = found
    name = clean(content.part(info, "model").get("method") or content.part(info, "advice").get("chosen"), 60)
    name = "the plain baseline" if name == "baseline" else name
    spread = wording.span(metric, score.get("low"), score.get("high"))
    place = "on the test set" if where == "test" else "in cross-validation"
    value = f"{wording.score(metric, score.get('value'))} {wording.words_of(metric)}"
    return f"{value}{f' ({spread})' if spread else ''} {place}{f', by {name}' if name else ''}. {weakest(info)}".strip()


def weakest(info: Mapping[str, Any]) -> str:
    """Name the slice with most errors beyond what is usual; nothing where slices were not compared."""
    told = content.part(info, "slices")
    looked = number(told.get("looked_at"))
    found = content.listing(info, "slices", "found")
    if looked is None:
        return ""
    if not found:
        return f"No part of the data stands out as worse ({plural(looked, 'part')} compared)." if looked else ""
    worst = found[0]
    error, elsewhere = content.part(worst, "error").get("value"), worst.get("elsewhere")
    measure = str(told.get("measure") or "error rate")
    return (
        f"It errs more where {slice_name(worst)}: {wording.words_of(measure)} "
        f"{_errors(measure, error)} against {_errors(measure, elsewhere)} elsewhere."
    )


def slice_name(found: Mapping[str, Any]) -> str:
    """Name a slice: ``class is spam``, ``age is missing``."""
    return f"{clean(found.get('column'), 40)} is {clean(found.get('value'), 60) or '(empty)'}"


def _errors(measure: str, value: object) -> str:
    return (percent if wording.is_share(measure) else wording.figure)(value)


# -- what was tried?


def tried(info: Mapping[str, Any], leaderboard: list[Mapping[str, Any]]) -> str:
    """Say how many methods were raced, out of how many, and how it ended."""
    advice = content.part(info, "advice")
    if not advice:
        return "Nothing: this run looked at the labels only."
    raced = len(leaderboard) or len(content.listing(advice, "shortlist")) + 1
    considered = content.listing(advice, "considered")
    known = f" of {count(len(considered))} considered" if considered else ""
    return f"{plural(raced, 'method')}{known}. {sentence(advice.get('reason'))}".strip()
