"""How much sooner chosen questions find a person's type than questions at random.

`python scripts/adaptive_questions.py` writes the table of docs/which-type.md and its figure,
assets/which-type.svg. In each setting simulated people, of the types in their shares, answer up to
eight questions of a fitted demo run: those that the page would put to them, and questions in random
order. A person answers a question alike whichever way they come to it, so the two ways are compared
person by person.
"""

from __future__ import annotations

import argparse
import runpy
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

import emdpo
from emdpo.core.em import e_step
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.core.resampling import interval_of, resampled_means
from emdpo.demo import DEMO_RUN, demo_file
from emdpo.who_am_i import MOST, SURE, Answer, answered, questions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.fitting import Fit
    from emdpo.who_am_i import QuestionPool

    Floats = NDArray[np.float64]

ROOT = Path(__file__).resolve().parent.parent
N_PEOPLE, MORE_PEOPLE, N_ORDERS, N_BOOTSTRAP, SEED = 200, 2_000, 20, 2_000, 0
"""People told of, and others beside them; random orders of questions for each; draws; seed."""

LATE = MOST + 1
"""What a person counts for who is not found within MOST rankings: one more, at least."""

WAYS = ("adaptive", "random")

BEGIN, END = "<!-- made by scripts/adaptive_questions.py -->", "<!-- end -->"
COLUMNS = (
    "run; people",
    "questions",
    "rankings needed",
    "fewer than at random",
    "fewer, of 2,000 people",
    "found by 2",
    "found by 4",
    "never in 8",
    "another type had 90% first",
)

TITLE = "How soon is a person's type found?"
HOW_TO_READ = (
    f"Share of {N_PEOPLE} simulated people whose right type has had 90%; higher is sooner."
)
LINES = {"adaptive": ("#0072B2", ""), "random": ("#E69F00", "6 4")}
"""Colour and dash of each way in the figure."""
LEFT, TOP, WIDE, HIGH = 64, 74, 500, 230
"""The plot within the figure."""


class Setting(NamedTuple):
    """Whom a fitted run is asked to recognise."""

    name: str
    fit: Fit
    utilities: Floats
    """(K, A) of the people's own types, by which they order answers."""
    shares: Floats
    """(K,) of the people's own types."""


class Found(NamedTuple):
    """What came of N people, each asked in one way, in S orders of the questions."""

    right: Floats
    """(N, S, MOST + 1) posterior of the right type after 0, 1, .. rankings."""
    wrong: Floats
    """(N, S, MOST + 1) largest posterior of any other type."""

    @property
    def needed(self) -> Floats:
        """(N, S) rankings until the right type first had SURE; LATE where it never had."""
        return _first_sure(self.right)

    @property
    def misled(self) -> NDArray[np.bool_]:
        """(N, S) whether another type had SURE before the right one did."""
        return _first_sure(self.wrong) < self.needed

    def of(self, n: int) -> Found:
        """Return the first n people, for whom people are in no order."""
        return Found(self.right[:n], self.wrong[:n])


def _first_sure(course: Floats) -> Floats:
    sure = course >= SURE
    return np.where(sure.any(axis=-1), sure.argmax(axis=-1), LATE).astype(np.float64)


def people(setting: Setting, n: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], Floats]:
    """Return n people's types (N,), shares as even as can be, and how they feel about answers.

    Feelings (N, A) are utility plus Gumbel noise; sorted, they are Plackett-Luce (Yellott 1977).
    People are shuffled in blocks of N_PEOPLE, each of which has the types in their shares.
    """
    ends = np.round(np.cumsum(setting.shares) * N_PEOPLE).astype(int)
    block = np.searchsorted(ends, np.arange(N_PEOPLE), side="right")
    kind = np.concatenate([rng.permutation(block) for _ in range(n // N_PEOPLE)])
    utilities = setting.utilities[kind]
    return kind, utilities + rng.gumbel(size=utilities.shape)


def log_likelihoods_of(fit: Fit, pool: QuestionPool, felt: Floats) -> Floats:
    """Return log P_k of one person's order in every question of the pool, (K, Q)."""
    answers = [
        Answer(question, tuple(sorted(question.candidates, key=lambda c: -felt[c])))
        for question in pool
    ]
    part = answered(fit, answers)
    return log_likelihoods(part.stages, fit.policies.candidate_scores()[:, part.candidate])


def chosen_order(
    fit: Fit, pool: QuestionPool, log_lik: Floats, rng: np.random.Generator
) -> list[int]:
    """Return the places of the questions put one after another, as the page puts them.

    Where none tells anything any more, because the type is certain, the rest come as they stand.
    """
    places = {question: place for place, question in enumerate(pool)}
    order: list[int] = []
    for _ in range(MOST):
        totals = log_lik[:, order].sum(axis=1)
        log_now = e_step(totals[None], np.log(fit.weights))[0][0]
        question = pool.best(log_now, [pool[i] for i in order], None if order else rng)
        if question is None:
            break
        order.append(places[question])
    rest = (place for place in range(len(pool)) if place not in order)
    return [*order, *islice(rest, MOST - len(order))]


def course_of(log_lik: Floats, orders: NDArray[np.intp], log_weights: Floats) -> Floats:
    """Return the posterior after 0, 1, .. questions of each order (S, n), (S, n + 1, K)."""
    steps = np.concatenate([np.zeros((len(log_lik), len(orders), 1)), log_lik[:, orders]], axis=2)
    totals = np.moveaxis(steps.cumsum(axis=2), 0, -1)  # (S, n + 1, K)
    log_resp, _ = e_step(totals.reshape(-1, len(log_lik)), log_weights)
    return np.exp(log_resp).reshape(totals.shape)


def simulate(setting: Setting, n: int, seed: int) -> dict[str, Found]:
    """Return what comes of asking the same n people in both ways."""
    for_people, for_starts, for_orders = np.random.default_rng(seed).spawn(3)
    fit, (kind, felt) = setting.fit, people(setting, n, for_people)
    pool, log_weights = questions(fit), np.log(fit.weights)
    courses: dict[str, list[Floats]] = {way: [] for way in WAYS}
    for feelings in felt:
        log_lik = log_likelihoods_of(fit, pool, feelings)
        drawn = [for_orders.permutation(len(pool))[:MOST] for _ in range(N_ORDERS)]
        orders = {
            "adaptive": [chosen_order(fit, pool, log_lik, for_starts)],
            "random": drawn,
        }
        for way in WAYS:
            courses[way].append(course_of(log_lik, np.array(orders[way]), log_weights))
    return {way: _found(np.stack(courses[way]), kind) for way in WAYS}


def _found(after: Floats, kind: NDArray[np.intp]) -> Found:
    """Return right and wrong posteriors, from all (N, S, MOST + 1, K)."""
    right = after[np.arange(len(kind)), :, :, kind]
    others = np.arange(after.shape[-1]) != kind[:, None, None, None]
    return Found(right, np.where(others, after, 0.0).max(axis=-1))


def estimated(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return means over people (N, S), and the ends of their 95% bootstrap intervals, (S,) each.

    The same people are drawn for every figure.
    """
    draws = resampled_means(values, N_BOOTSTRAP, np.random.default_rng([SEED, 1]))
    return values.mean(axis=0), *interval_of(draws, 0.95)


def cell(values: NDArray, show: Callable[[float], str]) -> str:
    """Return the mean over people (N, S) with its interval; a person's orders are averaged."""
    mean, low, high = (float(each[0]) for each in estimated(values.mean(axis=1, keepdims=True)))
    return f"{show(mean)} [{show(low)}, {show(high)}]"


def saved(found: dict[str, Found]) -> Floats:
    """Return how many rankings fewer chosen questions need than random ones, (N, 1)."""
    return found["random"].needed.mean(axis=1, keepdims=True) - found["adaptive"].needed


def reached_by(found: Found) -> Floats:
    """Return each person's chance to be found by 0..MOST rankings, (N, MOST + 1)."""
    return (found.needed[:, :, None] <= np.arange(MOST + 1)).mean(axis=1)


def planted_utilities(fit: Fit) -> Floats:
    """Return the utilities by which the demo's raters were simulated (K, A), for a fit of them."""
    made = runpy.run_path(str(ROOT / "scripts" / "make_demo.py"))
    asked = made["read_questions"](demo_file("questions.jsonl"))
    for_utilities = np.random.default_rng(made["SEED"]).spawn(2)[0].spawn(6)[2]
    planted = made["answer_utilities"](len(asked), for_utilities).reshape(len(made["TYPES"]), -1)
    ids = [f"{question['prompt_id']}-{manner}" for question in asked for manner in made["MANNERS"]]
    places = pd.Index(ids).get_indexer(fit.rankings.candidates["response_id"])
    return planted[:, places]


def settings() -> Iterable[Setting]:
    """Return the demo runs with people of their fitted types, and with people as planted."""
    log_linear = emdpo.fit(emdpo.load(demo_file()), n_types=3, seed=0)
    shipped = emdpo.load_fit(DEMO_RUN)
    for name, fit in (("log-linear", log_linear), ("adapters (shipped)", shipped)):
        yield Setting(
            f"{name}; people of the fitted types", fit, fit.policies.candidate_scores(), fit.weights
        )
        planted, shares = planted_types(fit)
        yield Setting(f"{name}; people as planted", fit, planted, shares)


def planted_types(fit: Fit) -> tuple[Floats, Floats]:
    """Return planted utilities (K, A) and shares (K,), each at the place of the type fitted."""
    types = runpy.run_path(str(ROOT / "scripts" / "make_demo.py"))["TYPES"]
    truth = pd.read_csv(demo_file("truth.csv"), index_col="user_id")["planted_type"]
    truth = truth.reindex(fit.rankings.users.index).to_numpy()
    names = [planted.name for planted in types]
    fitted = [int(fit.responsibilities[truth == name].mean(axis=0).argmax()) for name in names]
    order = np.argsort(fitted)
    if sorted(fitted) != list(range(fit.n_types)):
        raise SystemExit(f"the fit did not find the planted types: they are at {fitted}")
    return planted_utilities(fit)[order], np.array([types[k].share for k in order])


def table(results: Iterable[tuple[Setting, dict[str, Found]]]) -> str:
    """Return the table of docs/which-type.md."""
    lines = [f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"]
    for setting, many in results:
        found = {way: many[way].of(N_PEOPLE) for way in WAYS}
        for way in WAYS:
            needed, chosen = found[way].needed, way == "adaptive"
            cells = [
                setting.name,
                way,
                cell(needed, "{:.2f}".format),
                cell(saved(found), "{:.2f}".format) if chosen else "",
                cell(saved(many), "{:.2f}".format) if chosen else "",
                *(cell(needed <= n, "{:.0%}".format) for n in (2, 4)),
                cell(needed == LATE, "{:.1%}".format),
                cell(found[way].misled, "{:.1%}".format),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(page: str, made: str) -> str:
    """Return a page with what stands between the marks replaced."""
    before, rest = page.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{made}\n{END}{rest.split(END, 1)[1]}"


def x_of(n: float) -> float:
    """Return where a number of rankings lies in the figure."""
    return LEFT + WIDE * n / MOST


def y_of(share: float) -> float:
    """Return where a share of people lies in the figure."""
    return TOP + HIGH * (1 - share)


def figure(found: dict[str, Found]) -> str:
    """Return assets/which-type.svg: the share of people found by so many rankings, in both ways."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {LEFT + WIDE + 120} {TOP + HIGH + 56}" '
        'font-family="sans-serif" font-size="13" fill="#7a7a7a" role="img" '
        'aria-label="Share of people whose right type has 90%, by rankings asked for">',
        _text(12, 24, TITLE, 'font-size="16" font-weight="bold"'),
        _text(12, 46, HOW_TO_READ),
        *_axes(),
    ]
    for row, way in enumerate(WAYS):
        parts += _curve(found[way].of(N_PEOPLE), LINES[way])
        at = y_of(0.4) + 24 * row
        parts.append(_dot(LEFT + WIDE + 22, at, LINES[way][0], 5))
        parts.append(_text(LEFT + WIDE + 34, at + 4, way))
    return "\n".join([*parts, "</svg>", ""])


def _axes() -> Iterable[str]:
    for share in (0, 0.25, 0.5, 0.75, 1):
        line = f'<path d="M{LEFT} {y_of(share):.1f}h{WIDE}" stroke="#808080" opacity="0.3"/>'
        yield line + _text(LEFT - 8, y_of(share) + 4, f"{share:.0%}", 'text-anchor="end"')
    for n in range(MOST + 1):
        yield _text(x_of(n), TOP + HIGH + 20, str(n), 'text-anchor="middle"')
    yield _text(x_of(MOST / 2), TOP + HIGH + 42, "Rankings asked for", 'text-anchor="middle"')


def _curve(found: Found, style: tuple[str, str]) -> Iterable[str]:
    colour, dash = style
    means, lows, highs = estimated(reached_by(found))
    there = [f"{x_of(n):.1f},{low:.1f}" for n, low in enumerate(map(y_of, lows))]
    back = [f"{x_of(n):.1f},{high:.1f}" for n, high in enumerate(map(y_of, highs))]
    yield f'<polygon points="{" ".join(there + back[::-1])}" fill="{colour}" opacity="0.22"/>'
    points = " ".join(f"{x_of(n):.1f},{y_of(mean):.1f}" for n, mean in enumerate(means))
    yield (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"'
        f' stroke-dasharray="{dash}"/>'
    )
    yield from (_dot(x_of(n), y_of(mean), colour, 3.5) for n, mean in enumerate(means))


def _dot(x: float, y: float, colour: str, radius: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'


def _text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{words}</text>'


def main() -> None:
    """Write the page and its figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    results = [(setting, simulate(setting, MORE_PEOPLE, SEED)) for setting in settings()]
    page = ROOT / "docs" / "which-type.md"
    page.write_text(with_table(page.read_text("utf-8"), table(results)), "utf-8")
    (ROOT / "assets" / "which-type.svg").write_text(figure(results[-1][1]), "utf-8")


if __name__ == "__main__":
    main()
