"""Human judgements of two answers: MultiPref and HelpSteer."""

from __future__ import annotations

from collections.abc import Iterator

from emdpo.core.tables.problems import show
from emdpo.formats.judgements import Judgement, LeftOut, as_prompt, ranks_of
from emdpo.formats.records import Record, Records

MULTIPREF = ("text", "completion_a", "completion_b", "normal_worker_annotations")
HELPSTEER3 = ("context", "response1", "response2", "individual_preference")
HELPSTEER2 = ("prompt", "response_1", "response_2", "all_preferences_unprocessed")
HELPSTEER = ("prompt", "response", "helpfulness", "correctness")

_STRONGEST = 3
_NEITHER = LeftOut("neither answer was valid")


def read_multipref(records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    """Yield the overall preference of every annotation of MultiPref (Miranda et al. 2024)."""
    for record in records:
        answers = [record.text("completion_a"), record.text("completion_b")]
        for kind in ("normal", "expert"):
            for annotation in record.children(f"{kind}_worker_annotations"):
                if not annotation.value("overall_pref"):
                    yield LeftOut("annotations without an overall preference")
                    continue
                yield Judgement(
                    prompt=record.text("text"),
                    responses=answers,
                    ranks=_likert(annotation),
                    user_id=annotation.identity("evaluator"),
                    attributes={"worker": kind},
                )


def _likert(annotation: Record) -> list[int]:
    """Return the ranks of A and B."""
    told = annotation.text("overall_pref")
    if told.lower() == "tie":
        return [1, 1]
    better = told[:1].upper()
    if better not in ("A", "B") or not told[1:].startswith("-is-"):
        expected = "expected A-is-clearly-better, A-is-slightly-better, Tie or the same of B"
        raise annotation.error("overall_pref", f"{expected}, got {show(told)}")
    return [1, 2] if better == "A" else [2, 1]


def read_helpsteer3(records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    """Yield every individual preference of HelpSteer3 (Wang et al. 2025)."""
    for record in records:
        context = record.children("context")
        prompt = [{"role": each.text("role"), "content": each.text("content")} for each in context]
        if not prompt:
            raise record.error("context", "expected at least one message, found none")
        answers = [record.text("response1"), record.text("response2")]
        for each in record.children("individual_preference"):
            yield _by_strength(record, each, "score", as_prompt(prompt), answers, user)


def read_helpsteer2(records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    """Yield every preference, before any was dropped, of HelpSteer2 (Wang et al. 2024)."""
    for record in records:
        answers = [record.text("response_1"), record.text("response_2")]
        for each in record.children("all_preferences_unprocessed"):
            yield _by_strength(record, each, "strength", record.text("prompt"), answers, user)


def _by_strength(
    record: Record,
    told: Record,
    name: str,
    prompt: str | list,
    answers: list[str],
    user: str | None,
) -> Judgement | LeftOut:
    """Return a preference from -3 (the first is much better) to 3; HelpSteer2 has -100: neither."""
    strength = told.number(name)
    if abs(strength) > _STRONGEST:
        return _NEITHER
    owner = None if user is None else record.identity(user)
    return Judgement(prompt, answers, ranks_of([-strength, strength]), owner)


def read_ratings(records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    """Yield the answers to each prompt of HelpSteer and HelpSteer2 by their mean helpfulness."""
    rated: dict[str, list[Record]] = {}
    for record in records:
        answers = rated.setdefault(record.text("prompt"), [])
        if record.optional_number("helpfulness") is None:
            yield LeftOut("answers without a rating")
        else:
            answers.append(record)
    for prompt, answers in rated.items():
        yield Judgement(
            prompt=prompt,
            responses=[answer.text("response") for answer in answers],
            ranks=ranks_of(answer.number("helpfulness") for answer in answers),
        )
