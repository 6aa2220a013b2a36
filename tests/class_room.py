"""A class of two tastes: its plan, and its people who answer."""

from __future__ import annotations

from collecting import join, prefer

from emdpo.collect.plans import Candidate, Question, RoomPlan

TEXTS = (
    "Short {q}.",
    "Long, and warm, dear friend, about all that question {q} may be about.",
    "In steps: first this, then that for question {q}.",
)

N_QUESTIONS = 4


def class_plan() -> RoomPlan:
    """Return four questions, each with a short, a long and another answer, for everybody."""
    questions = tuple(
        Question(
            f"q{q}",
            f"Question {q}?",
            tuple(Candidate(f"q{q}-{c}", each.format(q=q)) for c, each in enumerate(TEXTS)),
        )
        for q in range(N_QUESTIONS)
    )
    return RoomPlan("Tea", questions, per_person=N_QUESTIONS)


def answer(place, room, names) -> None:
    """Let people in; the first third of them like short answers best, the others long ones."""
    for n, name in enumerate(names):
        join(place.rooms, room.code, name, seed=n)
        prefer(place.rooms, room.code, name, "Short" if n < len(names) / 3 else "Long")
