"""Answers written by models: its part of the form, and what its buttons do.

The same machinery as the Chat tab: the base model, the types and their aggregates of a run with
adapters, one question after another.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from emdpo.adapters.answers import Partial, Sampling
from emdpo.collect.plans import Candidate, Question
from emdpo.core.errors import EmdpoError
from emdpo.demo import demo_run
from emdpo.jobs.folder import is_id
from emdpo.ui import chat_view
from emdpo.ui.chat_events import (
    LOADING,
    SECONDS_BETWEEN_UPDATES,
    missing_chat,
    sampling_of,
)
from emdpo.ui.faults import one_line
from emdpo.ui.fit_events import status_or_none
from emdpo.ui.markup import line
from emdpo.ui.talks import MOST_CHARACTERS
from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    from emdpo.chatting import Cast

THE_DEMO = "demo"
"""Stands for the shipped run with adapters."""

MOST_WRITTEN = 20
"""Questions answered at one press; more would keep the model from everybody else."""

MOST_WRITERS, LONGEST_ANSWER, MOST_DRAWS = 8, 200, 3

Progress = tuple[tuple[Question, ...], str]


@dataclass(frozen=True)
class WritingPart:
    """The controls of this part."""

    run: gr.Dropdown
    prompts: gr.Textbox
    names: gr.CheckboxGroup
    draws: gr.Slider
    length: gr.Slider
    temperature: gr.Slider
    seed: gr.Number
    write: gr.Button
    stop: gr.Button
    note: gr.HTML

    @property
    def inputs(self) -> list[Any]:
        """What `write` reads after the workplace."""
        settings = [self.draws, self.length, self.temperature, self.seed]
        return [self.run, self.prompts, self.names, *settings]


def writing_part() -> WritingPart:
    """Lay the part out."""
    run = gr.Dropdown(
        choices=[],
        label="Who writes",
        info="A run whose types are adapters: the demo's, or one opened in this browser.",
        elem_id="writers-run",
    )
    prompts = gr.Textbox(
        label="Questions to the models",
        info=f"One a line, up to {MOST_WRITTEN}.",
        placeholder="How can I sleep better?\nWhat do I say to a friend who lost a job?",
        lines=4,
        elem_id="questions-to-models",
    )
    names = gr.CheckboxGroup(
        choices=[],
        label="Policies",
        info="Each writes an answer to every question.",
        elem_id="writers",
    )
    with gr.Accordion("Answers of each, length, temperature, seed", open=False):
        draws, length, temperature, seed = _settings()
    with gr.Row():
        write = gr.Button("Write the answers", size="sm", min_width=140, elem_id="write")
        stop = gr.Button("Stop", variant="stop", size="sm", min_width=100, elem_id="stop-writing")
    note = gr.HTML(elem_id="writing-note")
    return WritingPart(run, prompts, names, draws, length, temperature, seed, write, stop, note)


def _settings() -> tuple[gr.Slider, gr.Slider, gr.Slider, gr.Number]:
    draws = gr.Slider(
        1,
        MOST_DRAWS,
        value=1,
        step=1,
        label="Answers of each policy",
        info="More than one are drawn from different seeds.",
    )
    length = gr.Slider(
        16,
        LONGEST_ANSWER,
        value=60,
        step=1,
        label="Longest answer",
        info="In tokens; short ones are easier to order on a phone.",
    )
    temperature = gr.Slider(
        0,
        1.5,
        value=0.8,
        step=0.05,
        label="Temperature",
        info="1 = the policy itself, lower is safer.",
    )
    seed = gr.Number(0, precision=0, label="Seed", info="Same seed, same answers.")
    return draws, length, temperature, seed


def offer_writers(place: Workplace, mine: Any) -> list[Any]:
    """Return the runs that can write, those of this browser and the shipped one, and its cast."""
    ids = mine.get("runs", []) if isinstance(mine, dict) else []
    able = [each for each in ids if is_id(each) and not missing_chat(place, each)]
    choices = [(f"Run {each[:6]} of {place.status(each).name}", each) for each in able]
    if demo_run() is not None:
        choices = [("The demo's types", THE_DEMO), *choices]
    first = choices[0][1] if choices else None
    return [gr.Dropdown(choices=choices, value=first), *offer_names(place, first)]


def offer_names(place: Workplace, run: str | None) -> list[Any]:
    """Return the policies of a run as choices, all but the aggregates chosen, and a line."""
    try:
        cast = _cast(place, run)
    except Exception as error:  # noqa: BLE001 - shown as one line
        return [gr.CheckboxGroup(choices=[], value=[]), line(one_line(error), "warning")]
    choices = [(chat_view.policy_label(cast, name), name) for name in cast.speakers]
    own = [name for name in cast.speakers if name == "base" or name.startswith("type-")]
    return [gr.CheckboxGroup(choices=choices, value=own[:MOST_WRITERS]), ""]


def _cast(place: Workplace, run: str | None) -> Cast:
    if not run:
        raise EmdpoError("nobody can write here: it takes a run fitted with adapters")
    run_id = place.add_demo_run() if run == THE_DEMO else run
    if status_or_none(place, run_id) is None:
        raise EmdpoError("this run is gone: choose another")
    if message := missing_chat(place, run_id):
        raise EmdpoError(message)
    return place.cast(run_id)


def write(
    place: Workplace,
    run: str | None,
    prompts: str | None,
    names: Sequence[str] | None,
    draws: float,
    *settings: Any,
) -> Iterator[Progress]:
    """Yield the questions answered so far, and one line about how far that is."""
    done: tuple[Question, ...] = ()
    try:
        cast, asked = _cast(place, run), _prompts(prompts or "")
        chosen = [name for name in cast.speakers if name in (names or [])]
        if not 2 <= len(chosen) * int(draws) <= MOST_WRITERS:
            raise EmdpoError(f"choose policies that write 2 to {MOST_WRITERS} answers together")
        sampling = sampling_of(*settings)
        for number, prompt in enumerate(asked, start=1):
            told = f"Question {number} of {len(asked)}"
            for words, question in _answered(place, cast, number, prompt, chosen, draws, sampling):
                done = done if question is None else (*done, question)
                yield done, line(f"{told}: {words}")
        yield done, line(f"Written: {len(done)} of {len(asked)} questions.", "good")
    except Exception as error:  # noqa: BLE001 - shown as one line
        yield done, line(one_line(error), "error")


def _prompts(typed: str) -> list[str]:
    prompts = [row.strip() for row in typed.splitlines() if row.strip()]
    if not 1 <= len(prompts) <= MOST_WRITTEN:
        raise EmdpoError(f"type 1 to {MOST_WRITTEN} questions, one a line; got {len(prompts)}")
    if longest := max((each for each in prompts if len(each) > MOST_CHARACTERS), default=""):
        raise EmdpoError(f"a question has at most {MOST_CHARACTERS:,} characters: {longest!r:.40}")
    return prompts


def _answered(
    place: Workplace,
    cast: Cast,
    number: int,
    prompt: str,
    names: Sequence[str],
    draws: float,
    sampling: Sampling,
) -> Iterator[tuple[str, Question | None]]:
    """Yield how far the answers to one question are, and at last the question."""
    answers: dict[str, str] = {}
    told = 0.0
    for draw in range(int(draws)):
        drawn = Sampling(sampling.max_tokens, sampling.temperature, sampling.seed + draw)
        partials: Sequence[Partial] = ()
        histories = [[{"role": "user", "content": prompt}] for _ in names]
        with closing(place.models.answers(cast, histories, names, drawn)) as growing:
            for grown in growing:
                partials = grown or partials
                if time.monotonic() - told > SECONDS_BETWEEN_UPDATES:
                    tokens = sum(partial.n_tokens for partial in partials)
                    yield (f"{tokens} tokens" if partials else LOADING), None
                    told = time.monotonic()
        for name, partial in zip(names, partials, strict=True):
            suffix = f"-{draw + 1}" if draws > 1 else ""
            answers.setdefault(partial.text.strip(), f"q{number}-{name}{suffix}")
    candidates = [Candidate(key, said) for said, key in answers.items() if said]
    if len(candidates) < 2:
        raise EmdpoError(f"the policies all answer alike to {prompt!r:.40}: raise the temperature")
    yield "written", Question(f"q{number}", prompt, tuple(candidates))
