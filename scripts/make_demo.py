"""Write the demo data under assets/demo: simulated raters, hand-written answers.

`questions.jsonl` is written by hand and only read here. From it come `rankings.csv`
(240 raters, each ranking the four answers of six questions) and `truth.csv` (the taste
each rater was given). `classroom.csv` is a tiny second example in the wide form.
Run `python scripts/make_demo.py`; the same seed gives the same bytes.
"""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import logsumexp
from sklearn.metrics import adjusted_rand_score

SEED = 20260
DEMO = Path(__file__).resolve().parent.parent / "assets" / "demo"

N_USERS = 240
N_QUESTIONS_EACH = 6
PERTURBATION = 0.3
"""Standard deviation of how much better or worse one answer is than its manner, for everybody."""

MANNERS = ("terse", "steps", "warm", "sceptical")
AGE_BANDS = ("18-29", "30-44", "45-59", "60+")
REGIONS = ("North", "South", "East", "West")

RANKING_COLUMNS = (
    *("user_id", "prompt_id", "prompt", "response_id", "response", "rank"),
    *("age_band", "region"),
)
CLASSROOM_COLUMNS = ("user_id", "prompt", "responses", "ranking", "class")


@dataclass(frozen=True)
class PlantedType:
    """One taste given to a share of the simulated raters."""

    name: str
    """What a person of this taste would say."""
    share: float
    """Share of the raters, in (0, 1]."""
    utilities: tuple[float, float, float, float]
    """Plackett-Luce utility of each of MANNERS, in units of the Gumbel noise."""
    ages: tuple[float, float, float, float]
    """Probability of each of AGE_BANDS; sums to 1."""


TYPES = (
    PlantedType("briefly please", 0.5, (1.7, 0.5, -1.0, -0.3), (0.40, 0.35, 0.15, 0.10)),
    PlantedType("walk me through it", 0.3, (-0.2, 1.7, 0.4, -0.9), (0.10, 0.25, 0.45, 0.20)),
    PlantedType("talk to me", 0.2, (-1.0, -0.4, 1.7, 0.7), (0.05, 0.10, 0.20, 0.65)),
)


@dataclass(frozen=True)
class Lesson:
    """One classroom prompt with its three answers, in the order the pupils saw."""

    prompt: str
    answers: tuple[tuple[str, str], ...]
    """(manner, text) of answers A, B and C."""


LESSONS = (
    Lesson(
        "Why is the sky blue?",
        (
            ("fact", "Air scatters blue light far more than red, so blue comes from all sides."),
            ("story", "Sunlight is a crowd of runners, and the small blue ones bump into the air."),
            ("try it", "Shine a torch through water with a drop of milk. Which colour appears?"),
        ),
    ),
    Lesson(
        "Why do leaves change colour in autumn?",
        (
            ("try it", "Lay a leaf a week from one tree in a row. What was under the green?"),
            ("fact", "Trees break down green chlorophyll, and hidden yellow pigments then show."),
            ("story", "The tree packs for winter: it puts its green away and the gold is left."),
        ),
    ),
    Lesson(
        "How does a ship made of steel float?",
        (
            ("story", "A ship is a giant in a bathtub, carried by all the water it pushes away."),
            ("try it", "Drop a ball of clay into water, then a bowl of it. What is different?"),
            ("fact", "Its hollow hull displaces water that weighs as much as the whole ship."),
        ),
    ),
)
PUPIL_TASTES = (
    {"fact": 1.8, "try it": 0.3, "story": -0.8},
    {"story": 1.8, "try it": 0.6, "fact": -1.0},
)
CLASSES = ("5a", "5b")
FACT_LOVERS = {"5a": 9, "5b": 4}
"""Of the 12 pupils of each class, those with the first of PUPIL_TASTES."""
N_PUPILS_EACH = 12
TIE_WITHIN = 0.4
"""Answers felt closer than this are written as tied."""
P_BEST_ONLY = 0.08
"""Probability that a pupil names nothing but the best answer."""


def read_questions(path: Path) -> list[dict]:
    """Return the hand-written questions, one dict a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def planted_types(rng: np.random.Generator) -> np.ndarray:
    """Return the type index of each rater (N,), exact shares in shuffled order."""
    counts = [round(N_USERS * planted.share) for planted in TYPES]
    return rng.permutation(np.repeat(np.arange(len(TYPES)), counts))


def draw_groups(types: np.ndarray, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Return each rater's age band, which depends on the type, and region, which does not."""
    ages = [AGE_BANDS[rng.choice(len(AGE_BANDS), p=TYPES[k].ages)] for k in types]
    regions = [REGIONS[j] for j in rng.integers(len(REGIONS), size=len(types))]
    return ages, regions


def answer_utilities(n_questions: int, rng: np.random.Generator) -> np.ndarray:
    """Return the utility of every answer for every type (K, n_questions, 4)."""
    by_manner = np.array([planted.utilities for planted in TYPES])  # (K, 4)
    quality = rng.normal(scale=PERTURBATION, size=(n_questions, len(MANNERS)))
    return by_manner[:, None, :] + quality


def draw_questions(n_questions: int, rng: np.random.Generator) -> np.ndarray:
    """Return the questions each rater sees (N, 6), none twice."""
    return np.stack(
        [rng.choice(n_questions, N_QUESTIONS_EACH, replace=False) for _ in range(N_USERS)]
    )


def draw_orders(utilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return Plackett-Luce orders of the last axis, best first.

    Sorting utility + Gumbel noise samples Plackett-Luce exactly (Yellott 1977).
    """
    return np.argsort(-(utilities + rng.gumbel(size=utilities.shape)), axis=-1)


def log_plackett_luce(utilities: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Return the log-probability of each full order; the last axis is consumed."""
    ordered = np.take_along_axis(utilities, orders, axis=-1)
    stages = [
        ordered[..., t] - logsumexp(ordered[..., t:], axis=-1) for t in range(ordered.shape[-1])
    ]
    return np.sum(stages, axis=0)


def most_probable_types(utilities: np.ndarray, seen: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Return the Bayes-optimal type of each rater (N,), given the true utilities and shares."""
    log_share = np.log([planted.share for planted in TYPES])  # (K,)
    log_lik = [log_plackett_luce(of_type[seen], orders).sum(axis=1) for of_type in utilities]
    return np.argmax(log_share[:, None] + np.array(log_lik), axis=0)


def cramers_v(left: Sequence, right: Sequence) -> float:
    """Return Cramer's V of two labellings, in [0, 1]; 0 means unrelated."""
    rows, columns = (np.unique(labels, return_inverse=True)[1] for labels in (left, right))
    counts = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(counts, (rows, columns), 1)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    chi2 = ((counts - expected) ** 2 / expected).sum()
    return float(np.sqrt(chi2 / (counts.sum() * (min(counts.shape) - 1))))


def ranking_rows(
    question: dict, order: np.ndarray, rng: np.random.Generator
) -> Iterable[tuple[str, str, str, str, int]]:
    """Return (prompt_id, prompt, response_id, response, rank) of one ranking, rows shuffled."""
    ranks = np.argsort(order) + 1
    for j in rng.permutation(len(MANNERS)):
        manner = MANNERS[j]
        response_id = f"{question['prompt_id']}-{manner}"
        yield (
            question["prompt_id"], question["prompt"],
            response_id, question["answers"][manner], int(ranks[j]),
        )  # fmt: skip


def taste_order(felt: dict[str, float]) -> str:
    """Return the order of some letters by how they are felt, near equals tied.

    >>> taste_order({"A": 0.1, "B": 2.0, "C": 0.0})
    'B>A=C'
    """
    best_first = sorted(felt, key=lambda letter: -felt[letter])
    text = best_first[0]
    for above, below in zip(best_first, best_first[1:], strict=False):
        text += ("=" if felt[above] - felt[below] < TIE_WITHIN else ">") + below
    return text


def pupil_ranking(lesson: Lesson, taste: dict[str, float], rng: np.random.Generator) -> str:
    """Return one pupil's ranking of a lesson's answers, such as 'B>A=C', or the best alone."""
    noise = rng.gumbel(size=len(lesson.answers))
    felt = {
        letter: taste[manner] + float(e)
        for letter, (manner, _), e in zip("ABC", lesson.answers, noise, strict=True)
    }
    best_only = rng.random() < P_BEST_ONLY
    return max(felt, key=felt.__getitem__) if best_only else taste_order(felt)


def classroom_rows(rng: np.random.Generator) -> Iterable[tuple[str, str, str, str, str]]:
    """Return the rows of the classroom file, pupil by pupil."""
    pupil = 0
    for name in CLASSES:
        likes_stories = rng.permutation(np.arange(N_PUPILS_EACH) >= FACT_LOVERS[name])
        for k in likes_stories.astype(int):
            pupil += 1
            for lesson in LESSONS:
                responses = json.dumps([text for _, text in lesson.answers])
                ranking = pupil_ranking(lesson, PUPIL_TASTES[k], rng)
                yield f"p{pupil:02d}", lesson.prompt, responses, ranking, name


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a UTF-8 CSV with the same line ends on every system."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_rankings(folder: Path, questions: list[dict], rng: np.random.Generator) -> dict:
    """Write rankings.csv and truth.csv; return the figures worth printing."""
    for_types, for_groups, for_utilities, for_seen, for_orders, for_rows = rng.spawn(6)
    types = planted_types(for_types)
    ages, regions = draw_groups(types, for_groups)
    utilities = answer_utilities(len(questions), for_utilities)  # (K, Q, 4)
    seen = draw_questions(len(questions), for_seen)  # (N, 6)
    orders = draw_orders(utilities[types[:, None], seen], for_orders)  # (N, 6, 4)
    users = [f"u{i + 1:03d}" for i in range(N_USERS)]
    rows = (
        (users[i], *row, ages[i], regions[i])
        for i in range(N_USERS)
        for q, order in zip(seen[i], orders[i], strict=True)
        for row in ranking_rows(questions[q], order, for_rows)
    )
    write_csv(folder / "rankings.csv", RANKING_COLUMNS, rows)
    truth = zip(users, (TYPES[k].name for k in types), strict=True)
    write_csv(folder / "truth.csv", ("user_id", "planted_type"), truth)
    best = most_probable_types(utilities, seen, orders)
    return {
        "Bayes-optimal adjusted Rand index": adjusted_rand_score(types, best),
        "Cramer's V, age_band and type": cramers_v(ages, types),
        "Cramer's V, region and type": cramers_v(regions, types),
    }


def write_demo(folder: Path) -> dict:
    """Write the three CSV files of the demo into a folder; return the figures worth printing."""
    for_rankings, for_classroom = np.random.default_rng(SEED).spawn(2)
    figures = write_rankings(folder, read_questions(DEMO / "questions.jsonl"), for_rankings)
    write_csv(folder / "classroom.csv", CLASSROOM_COLUMNS, classroom_rows(for_classroom))
    return figures


if __name__ == "__main__":
    for label, value in write_demo(DEMO).items():
        print(f"{label}: {value:.3f}")
