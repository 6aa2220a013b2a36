"""Conversations of visitors: what was asked, what each policy answered, what was liked.

They stay on the server, each known by an unguessable id; nothing here knows Gradio or torch.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from emdpo.adapters.answers import Ending, Message, Partial, Sampling
from emdpo.chatting import told
from emdpo.core.errors import EmdpoError
from emdpo.jobs.folder import is_id, new_id

if TYPE_CHECKING:
    from emdpo.chatting import Cast

MOST_CHARACTERS = 2_000
"""Of a question."""

MOST_TURNS = 8
"""Of a conversation; each answer is reread with every turn."""

MOST_TOKENS = 400
"""Of an answer on the page."""

MOST_TALKS = 256
"""Conversations that a server remembers; the longest unused goes first."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

NOTHING = Partial("", 0, None, None)


@dataclass(eq=False)
class Turn:
    """One question and its answers, as far as they have come."""

    cast: Cast
    """Who could be asked then."""
    question: str
    names: tuple[str, ...]
    """Policies asked, in the order shown."""
    sampling: Sampling
    blind: bool
    """Whether the answers stand alone and unnamed until `liked` is known."""
    partials: Sequence[Partial] = ()
    begun: bool = False
    over: bool = False
    message: str = ""
    """Why it failed; empty where it did not."""
    liked: str | None = None
    """The policy whose answer was picked."""
    guess: str | None = None
    """Who the visitor thought that was."""
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.partials = [NOTHING] * len(self.names)

    @property
    def hides_names(self) -> bool:
        """Whether the reader is still to judge."""
        return self.blind and self.liked is None

    @property
    def waits_for_pick(self) -> bool:
        """Whether the answers are there and nobody has judged them."""
        return self.over and self.hides_names and not self.message

    def end(self, message: str = "") -> None:
        """Close the turn; what was still growing counts as stopped."""
        self.partials = [
            partial if partial.ending else replace(partial, ending=Ending.STOPPED)
            for partial in self.partials
        ]
        self.over, self.message = True, message

    def answers(self) -> Iterator[tuple[str, Partial]]:
        """Yield the policies' names and answers."""
        return zip(self.names, self.partials, strict=True)


@dataclass(eq=False)
class Talk:
    """A conversation with the policies of one run."""

    talk_id: str
    run_id: str
    cast: Cast
    """Who can be asked now."""
    turns: list[Turn] = field(default_factory=list)
    left: bool = False
    """Whether the visitor has begun a new one; what this one still says is not drawn."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def last(self) -> Turn | None:
        """The newest turn."""
        return self.turns[-1] if self.turns else None

    def ask(self, question: str, names: Iterable[str], sampling: Sampling, *, blind: bool) -> Turn:
        """Add a turn that nobody has answered yet.

        Raises
        ------
        EmdpoError
            The question is empty or too long, nobody is asked, the turn before is not over, or
            the conversation is full.
        """
        question = question.strip()
        if not question:
            raise EmdpoError("type a question first")
        if len(question) > MOST_CHARACTERS:
            raise EmdpoError(
                f"a question has at most {MOST_CHARACTERS:,} characters, got {len(question):,}"
            )
        asked = {self.cast.speaker(name).name for name in names}
        if not asked:
            raise EmdpoError("choose at least one policy that answers")
        if sampling.max_tokens > MOST_TOKENS:
            raise EmdpoError(f"an answer here has at most {MOST_TOKENS} tokens")
        with self.lock:
            if self.last is not None and not self.last.over:
                raise EmdpoError("the last question is still being answered")
            if len(self.turns) >= MOST_TURNS:
                raise EmdpoError(f"after {MOST_TURNS} questions, start a new conversation")
            order = [name for name in self.cast.speakers if name in asked]
            if blind:
                random.Random(new_id()).shuffle(order)  # noqa: S311 - nothing secret in an order
            self.turns.append(Turn(self.cast, question, tuple(order), sampling, blind))
            return self.turns[-1]

    def renew(self, cast: Cast) -> None:
        """Let others be asked from the next question on."""
        with self.lock:
            self.cast = cast

    def begin(self) -> Turn | None:
        """Return the turn that waits for its answers, to one caller only."""
        with self.lock:
            turn = self.last
            if turn is None or turn.begun or turn.over:
                return None
            turn.begun = True
            return turn

    def stop(self) -> None:
        """Ask the turn that is being answered to stop; one that still waits is over at once."""
        with self.lock:
            turn = self.last
            if turn is not None and not turn.over:
                turn.stopping.set()
                if not turn.begun:
                    turn.end()

    def leave(self) -> None:
        """Stop, and say no more: the visitor has begun a new conversation."""
        self.left = True
        self.stop()

    def pick(self, letter: str, guess: str | None) -> Turn:
        """Note which answer of a blind turn was liked, and who was thought to have given it."""
        with self.lock:
            turn = self.last
            if turn is None or not turn.waits_for_pick:
                raise EmdpoError("there is nothing to pick")
            letters = LETTERS[: len(turn.names)]
            if len(letter or "") != 1 or letter not in letters:
                raise EmdpoError("pick the answer that you like best first")
            turn.liked = turn.names[letters.index(letter)]
            turn.guess = guess if guess in turn.names else None
            return turn

    def histories(self, turn: Turn) -> list[list[Message]]:
        """Return what each policy asked in a turn knows of the conversation: its own answers."""
        return [[*self._before(name, turn), user(turn.question)] for name in turn.names]

    def _before(self, name: str, turn: Turn) -> Iterator[Message]:
        for earlier in self.turns:
            if earlier is turn:
                return
            same = earlier.cast.speakers.get(name) == turn.cast.speakers[name]
            if same and name in earlier.names and not (earlier.blind or turn.blind):
                answer = earlier.partials[earlier.names.index(name)].text
                yield user(earlier.question)
                yield {"role": "assistant", "content": answer}

    def rows(self) -> list[dict[str, Any]]:
        """Return the conversation for its download: a row per answer."""
        return [
            {
                "turn": number,
                **told(turn.cast, name, turn.question, partial, turn.sampling),
                "blind": turn.blind,
                "liked": None if turn.liked is None else name == turn.liked,
            }
            for number, turn in enumerate(self.turns, start=1)
            for name, partial in turn.answers()
            if not turn.hides_names
        ]

    def picks(self) -> list[dict[str, Any]]:
        """Return what was liked as a canonical table: rank 1 = picked, none = shown only."""
        visitor = f"visitor-{hashlib.sha256(self.talk_id.encode()).hexdigest()[:10]}"
        return [
            {
                "user_id": visitor,
                "ranking_id": f"{visitor}-{number}",
                "prompt": turn.question,
                "response_id": f"{visitor}-{number}-{name}",
                "response": partial.text,
                "rank": 1 if name == turn.liked else None,
            }
            for number, turn in enumerate(self.turns, start=1)
            if turn.liked is not None
            for name, partial in turn.answers()
        ]

    def guesses(self) -> tuple[int, int]:
        """Return how many guesses were right, and how many were made."""
        made = [turn for turn in self.turns if turn.guess is not None]
        return sum(turn.guess == turn.liked for turn in made), len(made)


def user(content: str) -> Message:
    """Return a message of the visitor's."""
    return {"role": "user", "content": content}


class Talks:
    """The conversations of all visitors, each by its id."""

    def __init__(self, size: int = MOST_TALKS) -> None:
        self._size = size
        self._held: OrderedDict[str, Talk] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, talk_id: object, run_id: str) -> Talk | None:
        """Return a conversation about this run; the id may come from anybody."""
        if not is_id(talk_id):
            return None
        with self._lock:
            talk = self._held.get(str(talk_id))
            if talk is None or talk.run_id != run_id:
                return None
            self._held.move_to_end(talk.talk_id)
            return talk

    def start(self, run_id: str, cast: Cast) -> Talk:
        """Return a new conversation."""
        talk = Talk(new_id(), run_id, cast)
        with self._lock:
            self._held[talk.talk_id] = talk
            while len(self._held) > self._size:
                self._held.popitem(last=False)
        return talk
