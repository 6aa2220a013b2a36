"""What tests of collecting share: databases to try, a plan, and people who answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np

from emdpo.collect import people
from emdpo.collect.plans import Candidate, GroupQuestion, Question, RoomPlan


def plan(n_questions=3, per_person=2, n_candidates=3, **changes) -> RoomPlan:
    """Return a small plan with a question of choices and one of own words."""
    questions = tuple(
        Question(
            f"q{q}",
            f"Question {q}?",
            tuple(Candidate(f"q{q}-{c}", f"Answer {c} to {q}") for c in range(n_candidates)),
        )
        for q in range(n_questions)
    )
    groups = (GroupQuestion("age", ("young", "old")), GroupQuestion("town"))
    return RoomPlan(
        **{
            "title": "Tea",
            "questions": questions,
            "per_person": per_person,
            "groups": groups,
            **changes,
        }
    )


def token(name: object) -> str:
    """Return a token that says whose it is."""
    return f"token-of-{name}-".ljust(24, "x")


def join(database, code, name, seed=0, **groups) -> None:
    people.join(database, code, token(name), groups, np.random.default_rng(seed))


def rank(database, code, name, position, *order, replaces=None, of=None) -> None:
    """Answer with tuples of tied places, best first; the answer's token is `of`."""
    said = people.Answer(of or token(f"{name}-{position}"), "ranked", order)
    people.answer(database, code, token(name), position, said, replaces)


def prefer(database, code, name, best: str) -> None:
    """Answer everything with the answers that `best` names first, the others in their order."""
    _, who = people.person(database, code, token(name))
    for position, task in enumerate(who.tasks):
        order = sorted(range(len(task.responses)), key=lambda p: best not in task.responses[p])
        rank(database, code, name, position, *((place,) for place in order))


class Postgres:
    """A server of our own in a folder of our own, reached by a socket there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        home = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
        found = shutil.which("initdb") or (home and shutil.which("initdb", path=str(home)))
        self._bin = found and Path(found).parent
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def missing(self) -> str:
        """Why there is none here; empty where there is."""
        if not self._bin:
            return "no PostgreSQL on this machine (apt-get install postgresql)"
        if os.geteuid() == 0 and not shutil.which("setpriv"):
            return "PostgreSQL does not run as root, and there is no setpriv"
        return ""

    def start(self) -> str:
        """Start it and return an SQLAlchemy URL."""
        data = self._folder / "data"
        data.mkdir()
        self._folder.chmod(0o755)
        if os.geteuid() == 0:
            for path in (self._folder, data):
                shutil.chown(path, "postgres", "postgres")
        self._run("initdb", "-D", data, "-A", "trust", "-U", "tester", "-E", "UTF8", "-N")
        options = ("-D", data, "-k", self._folder, "-h", "", "-c", "fsync=off")
        command = [*self._as_somebody(), str(self._bin / "postgres"), *map(str, options)]
        self._server = subprocess.Popen(  # noqa: S603 - our own command
            command, stderr=subprocess.DEVNULL, cwd=data
        )
        limit = time.monotonic() + 30
        while not (self._folder / ".s.PGSQL.5432").exists() and time.monotonic() < limit:
            time.sleep(0.05)
        return f"postgresql+psycopg://tester@/postgres?host={self._folder}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(20)

    def _run(self, name: str, *options: object) -> None:
        command = [*self._as_somebody(), str(self._bin / name), *map(str, options)]
        subprocess.run(  # noqa: S603 - our own command
            command, check=True, capture_output=True, cwd=self._folder
        )

    def _as_somebody(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
