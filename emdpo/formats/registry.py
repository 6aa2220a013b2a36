"""The formats that are read: what tells each, who ranked in it, what has to be said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from emdpo.core.errors import DataError
from emdpo.core.tables.problems import listing, show
from emdpo.formats.importers import (
    argilla,
    community,
    coval,
    machines,
    oasst,
    pairs,
    prism,
    trl,
)
from emdpo.formats.judgements import Judgement, LeftOut
from emdpo.formats.records import Records

Read = Callable[[Records, str | None], Iterator[Judgement | LeftOut]]
"""From records, and the column that names who ranked where the caller gave one, to judgements."""

ReadUsers = Callable[[Records], Iterator[tuple[str, dict[str, str]]]]
"""From the records of a second file to users and their attributes."""

UNKNOWN_RANKERS = (
    "the source does not say who ranked, so every ranking counts as a person of its own: a type is "
    "then a type of rankings, told by one ranking at a time, and no group can be audited. If a "
    "column names the rankers, say which: --user COLUMN"
)
BY_MACHINE = "a language model ranked here (GPT-4), no person: its types are not people's types"
PAIRS_ONLY = "only two answers are compared at a time"


@dataclass(frozen=True)
class Users:
    """The second table of a data set, which describes the people."""

    file: str
    """Its name."""
    key: str
    """The column that names the people."""
    read: ReadUsers


@dataclass(frozen=True)
class Format:
    """A format that is read from a table."""

    name: str
    """As in `--format NAME`."""
    title: str
    """For people."""
    columns: tuple[str, ...]
    """Columns that it needs and is recognised by."""
    read: Read
    rankers: str | None = None
    """The column that names who ranked; None where the source has none."""
    notes: tuple[str, ...] = ()
    """What is said whenever it is read."""
    recognised: Callable[[Sequence[str]], bool] | None = None
    """Recognises what no fixed columns tell."""
    users: Users | None = None
    """The second table, which describes the people."""
    hub: Mapping[str, str | None] = field(default_factory=dict)
    """Data sets of the hub in this format, and which configuration to load."""
    hub_users: str | None = None
    """The configuration with the people."""
    by_hand: bool = False
    """Another reading of the same columns: never detected, only asked for."""

    def matches(self, columns: Sequence[str]) -> bool:
        """Return whether a table with these columns is in this format."""
        if self.recognised is not None:
            return self.recognised(columns)
        return set(self.columns) <= set(columns)


_PRISM = "HannahRoseKirk/prism-alignment"
_COVAL = {"openai/collective-alignment-1": "comparisons", "openai/coval": "comparisons"}

FORMATS = (
    Format(
        name="prism",
        title="PRISM, utterances",
        columns=prism.UTTERANCES,
        read=prism.read_utterances,
        rankers="user_id",
        users=Users("survey.jsonl", "user_id", prism.read_users),
        hub={_PRISM: "utterances"},
        hub_users="survey",
    ),
    Format(
        name="prism-conversations",
        title="PRISM, conversations",
        columns=prism.CONVERSATIONS,
        read=prism.read_conversations,
        rankers="user_id",
        users=Users("survey.jsonl", "user_id", prism.read_users),
        hub={_PRISM: "conversations"},
        hub_users="survey",
    ),
    Format(
        name="coval",
        title="Collective Alignment (CoVal), personal rankings",
        columns=coval.COMPARISONS,
        read=coval.read_personal,
        rankers="annotator_id",
        notes=("people's own preference is read; --format coval-world for what they think best "
               "for the world",),
        users=Users("annotators.jsonl", "annotator_id", coval.read_users),
        hub=_COVAL,
        hub_users="annotators",
    ),
    Format(
        name="coval-world",
        title="Collective Alignment (CoVal), rankings for the world",
        columns=coval.COMPARISONS,
        read=coval.read_world,
        rankers="annotator_id",
        users=Users("annotators.jsonl", "annotator_id", coval.read_users),
        hub=_COVAL,
        hub_users="annotators",
        by_hand=True,
    ),
    Format(
        name="community-alignment",
        title="Community Alignment",
        columns=community.COLUMNS,
        read=community.read,
        rankers="annotator_id",
        hub={"facebook/community-alignment-dataset": None},
    ),
    Format(
        name="argilla",
        title="Argilla, ranking question",
        columns=(),
        read=argilla.read,
        rankers="user_id",
        recognised=argilla.recognised,
    ),
    Format(
        name="nectar",
        title="Nectar",
        columns=machines.NECTAR,
        read=machines.read_nectar,
        notes=(BY_MACHINE,),
        hub={"berkeley-nest/Nectar": None},
    ),
    Format(
        name="ultrafeedback",
        title="UltraFeedback",
        columns=machines.ULTRAFEEDBACK,
        read=machines.read_ultrafeedback,
        notes=(BY_MACHINE, "ordered by overall_score; system prompts are left out"),
        hub={"openbmb/UltraFeedback": None},
    ),
    Format(
        name="multipref",
        title="MultiPref",
        columns=pairs.MULTIPREF,
        read=pairs.read_multipref,
        rankers="evaluator",
        notes=(PAIRS_ONLY,),
        hub={"allenai/multipref": None},
    ),
    Format(
        name="helpsteer3",
        title="HelpSteer3, individual preferences",
        columns=pairs.HELPSTEER3,
        read=pairs.read_helpsteer3,
        notes=(PAIRS_ONLY,),
        hub={"nvidia/HelpSteer3": "preference"},
    ),
    Format(
        name="helpsteer2-preference",
        title="HelpSteer2, all preferences",
        columns=pairs.HELPSTEER2,
        read=pairs.read_helpsteer2,
        notes=(PAIRS_ONLY,),
    ),
    Format(
        name="helpsteer",
        title="HelpSteer and HelpSteer2, ratings",
        columns=pairs.HELPSTEER,
        read=pairs.read_ratings,
        notes=("ordered by helpfulness, the mean over several raters",),
        hub={"nvidia/HelpSteer": None, "nvidia/HelpSteer2": None},
    ),
    Format(
        name="oasst",
        title="OpenAssistant conversations",
        columns=oasst.COLUMNS,
        read=oasst.read,
        notes=("user_id names who wrote a message, not who ranked it, and is not used; rank is the "
               "merged order of several people",),
        hub={"OpenAssistant/oasst1": None, "OpenAssistant/oasst2": None},
    ),
    Format(
        name="trl",
        title="TRL preference pairs",
        columns=trl.COLUMNS,
        read=trl.read,
        notes=("a person's pairs on one prompt are one ranking where they determine one, and stay "
               "pairs where they do not",),
    ),
)  # fmt: skip
"""The more telling columns first."""

PREFLIB = ("preflib", "preflib-subsets")
"""Read by the file's ending; the second says that alternatives left out were not shown."""

CANONICAL = "canonical"
"""emdpo's own tables (docs/files.md)."""


def names() -> list[str]:
    """Return every name that `--format` takes."""
    return [*(known.name for known in FORMATS), *PREFLIB, CANONICAL]


def by_name(name: str) -> Format:
    """Return the format of this name, one that is read from a table."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise DataError(f"{show(name)} is no format; the formats are {', '.join(names())}")


def detected(columns: Sequence[str]) -> Format | None:
    """Return the format that a table's columns tell, None where they tell none.

    >>> detected(["prompt", "chosen", "rejected", "user_id"]).name
    'trl'
    """
    return next((f for f in FORMATS if not f.by_hand and f.matches(columns)), None)


def checked(known: Format, records: Records) -> Format:
    """Return the format; DataError naming what the table lacks of it."""
    if known.matches(records.columns):
        return known
    lacks = [name for name in known.columns if name not in records.columns]
    told = f"{known.title} has the columns {listing(lacks)}" if lacks else f"not {known.title}"
    told = f"{told}, and this table does not; there are {listing(records.columns, 6)}"
    raise DataError(told, file=records.name, column=lacks[0] if lacks else None)


def unrecognised(records: Records) -> DataError:
    """Return the error that says what the table has and what could be done."""
    if set(coval.MERGED) <= set(records.columns):
        told = "this file of CoVal has no answers: import comparisons.jsonl, with --users THIS FILE"
        return DataError(told, file=records.name)
    told = f"no known format has these columns: {listing(records.columns)}; see docs/formats.md"
    return DataError(told, file=records.name)
