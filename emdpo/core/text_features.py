"""Named style features that a person can check by reading, and topics of the answers.

Style is English: on other languages the counts of lines, marks and lengths still work, the word
lists find nothing and their features drop out as constant. Meaning beyond words is not measured.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class StyleFeature:
    """One measured property of a response and how to speak of it."""

    name: str
    """Safe name for theta.csv."""
    label: str
    """Short name for figures."""
    like: str
    """Said of a type with a positive weight."""
    dislike: str
    """Said of a type with a negative weight."""


def _use_of(name: str, label: str) -> StyleFeature:
    return StyleFeature(name, label, f"prefers {label}", f"dislikes {label}")


STYLE_FEATURES = (
    StyleFeature("words_log", "length", "prefers longer answers", "prefers shorter answers"),
    StyleFeature(
        "sentence_length", "long sentences", "prefers long sentences", "prefers short sentences"
    ),
    StyleFeature("word_length", "long words", "prefers long words", "prefers short words"),
    StyleFeature(
        "word_variety", "varied wording", "prefers varied wording", "prefers repeated wording"
    ),
    _use_of("numbered_steps", "numbered steps"),
    _use_of("bullet_points", "bullet points"),
    _use_of("headings_bold", "headings and bold text"),
    _use_of("line_breaks", "line breaks outside lists"),
    _use_of("questions", "questions asked back"),
    _use_of("exclamations", "exclamation marks"),
    _use_of("parentheses", "remarks in parentheses"),
    _use_of("quotations", "quotations"),
    _use_of("code", "code"),
    _use_of("emoji", "emoji"),
    _use_of("numbers", "numbers"),
    _use_of("hedging", "hedging"),
    _use_of("certainty", "certainty"),
    _use_of("warmth", "warm words"),
    _use_of("politeness", "polite words"),
    _use_of("caution", "caution and referral to experts"),
    _use_of("examples", "examples"),
    _use_of("second_person", "being addressed as you"),
    _use_of("first_person", "speaking as I or we"),
    _use_of("contractions", "contractions"),
    _use_of("imperative_opening", "opening with an instruction"),
    _use_of("prompt_overlap", "repeating words of the prompt"),
)
"""The style features, in the order of the columns of `style_matrix`."""

STYLE_PHRASES = {feature.name: (feature.like, feature.dislike) for feature in STYLE_FEATURES}

# Words of each kind, lower case, apostrophes straight; entries of several words are phrases.
LEXICONS = {
    "hedging": """perhaps maybe might may could possibly probably likely seems seem appears usually
        often sometimes generally roughly somewhat; it depends, in some cases, i think,
        i believe, not sure, hard to say""",
    "certainty": """definitely certainly always never absolutely clearly obviously undoubtedly
        surely must proven guaranteed every; no doubt, of course, without question, the fact is""",
    "warmth": """sorry glad happy understand understandable proud hope hug care caring feel feelings
        tough hard okay gentle kind wonderful lovely congratulations brave; you've got this,
        you got this, that sounds, you're not alone, you are not alone, i hear you,
        i'm here, be kind to yourself, take heart""",
    "politeness": """please thanks thank kindly welcome pardon appreciate grateful; feel free,
        excuse me, would you, if you'd like, if you like""",
    "caution": """doctor doctors physician professional professionals therapist lawyer attorney
        advisor adviser expert experts specialist consult pharmacist caution careful carefully
        cautious warning risk risks risky danger dangerous unsafe safety disclaimer emergency;
        check with, not a substitute, seek help, seek medical, before you decide, as an ai""",
    "examples": """eg imagine; e g, for example, for instance, such as, let's say""",
    "second_person": """you your yours yourself yourselves you're you've you'll you'd""",
    "first_person": """i me my mine myself i'm i've i'll i'd we us our ours ourselves we're we've
        we'll we'd let's""",
    "no_subject": """actually did does doing going good just know let like lot make makes making
        need really say says simply thing things think use want way""",
    "imperatives": """accept add aim allow always apply ask avoid be begin block book breathe bring
        build buy call change check choose clean come compare consider contact cook create cut
        decide do don't draw drink eat explain figure find focus follow forget get give go
        grab have help hold identify imagine join keep learn leave let list listen look make
        meet mix move never note notice open pack pay pick plan practice practise prepare
        put read recall remember remove replace rest review save say schedule search see
        select send set share show sit skip sleep speak spend start stay step stick stop
        take talk tell test think track treat try turn understand use visit wait walk watch
        wear work write""",
}

SHARE_FLOOR = 20
"""Shares are per word of an answer of at least so many words: a word of a short one is no style."""

TOPIC_CANDIDATES = 20
"""One topic for each so many candidates, but at most `MAX_TOPICS`."""

MAX_TOPICS = 10

TOPIC_WORDS = 3
"""Words in a topic's label."""

MAX_VOCABULARY = 1_000
"""Topics are made of the most frequent words, which bounds time and memory."""

ROUNDING = 1e-12
"""Share of the total variance under which a direction is rounding error."""

NO_SUBJECT = frozenset(LEXICONS["no_subject"].split())
"""Words beside the stop words that would fill the topics' labels without naming a subject."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SENTENCE_END = re.compile(r"""[.!?…](?=["'”’)\]]?(?:\s|$))|[。！？]|\n""")
_NUMBERED = re.compile(r"^[ \t]*(?:step[ \t]+)?\d{1,3}[.):](?=\s|$)", re.MULTILINE | re.IGNORECASE)
_BULLET = re.compile(r"^[ \t]*[-*+•‣–—][ \t]+\S", re.MULTILINE)
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t]+\S", re.MULTILINE)
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")
_CONTRACTION = re.compile(r"(?:n't|'(?:re|ve|ll|d|m))$|^(?:it|that|he|she|what|there|let|who)'s$")


def _split_lexicon(text: str) -> tuple[frozenset[str], tuple[str, ...]]:
    words, _, phrases = text.partition(";")
    spaced = (f" {' '.join(phrase.split())} " for phrase in phrases.split(",") if phrase.strip())
    return frozenset(words.split()), tuple(spaced)


_LEXICONS = {name: _split_lexicon(text) for name, text in LEXICONS.items()}
_IMPERATIVES, _ = _LEXICONS["imperatives"]


def text_features(
    responses: Sequence[str], prompts: Sequence[str], candidate_prompt: NDArray[np.int64]
) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Return raw text features (A, D) with their names (D,) and labels (D,): style, then topics.

    Parameters
    ----------
    responses, prompts
        The A responses and the P prompts.
    candidate_prompt
        (A,) the prompt that each response answers, in 0..P-1.
    """
    style = style_matrix(responses, prompts, candidate_prompt)
    topics, words = topic_matrix(responses, candidate_prompt)
    names = [feature.name for feature in STYLE_FEATURES]
    labels = [feature.label for feature in STYLE_FEATURES]
    names += [f"topic_{number}" for number in range(1, len(words) + 1)]
    labels += [f"topic: {', '.join(strongest)}" for strongest in words]
    return np.hstack([style, topics]), names, labels


def style_matrix(
    responses: Sequence[str], prompts: Sequence[str], candidate_prompt: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the style features (A, 26), columns as in `STYLE_FEATURES`; see `style_of`."""
    asked = [content_words(prompt) for prompt in prompts]
    rows = [
        style_of(response, asked[prompt])
        for response, prompt in zip(responses, candidate_prompt, strict=True)
    ]
    names = [feature.name for feature in STYLE_FEATURES]
    values = [[row[name] for name in names] for row in rows]
    return np.array(values, dtype=np.float64).reshape(len(rows), len(names))


def style_of(response: str, asked: frozenset[str] = frozenset()) -> dict[str, float]:
    r"""Return the style features of one response by name.

    Lengths and counts are log(1 + x), so that one long answer does not rule a file; word lists
    count per 100 words (of at least `SHARE_FLOOR` words); openings are 0 or 1; `word_variety` is
    log(1 + distinct words) / log(1 + words), which length moves less than their ratio
    (Herdan 1960); `prompt_overlap` is the share of the content words `asked` that come back.
    The numbers of a numbered list count as steps only, neither as words nor as sentences.

    Examples
    --------
    >>> style = style_of("1. Phone him.\n2. Say sorry!", content_words("Should I phone my boss?"))
    >>> round(style["numbered_steps"], 4), style["prompt_overlap"], style["warmth"]
    (1.0986, 0.5, 5.0)
    """
    prose, n_steps = _NUMBERED.subn("", response)
    words = words_of(prose)
    distinct = Counter(words)
    style = _lengths(prose, words, len(distinct)) | _marks(prose, n_steps)
    style |= _word_shares(words, distinct)
    style["imperative_opening"] = float(next(filter(str.isalpha, words), "") in _IMPERATIVES)
    style["prompt_overlap"] = len(asked & distinct.keys()) / max(len(asked), 1)
    return style


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, with straight apostrophes.

    >>> words_of("Don’t panic: it's 9 a.m.")
    ["don't", 'panic', "it's", '9', 'a', 'm']
    """
    return _WORD.findall(text.lower().replace("’", "'"))


def content_words(text: str) -> frozenset[str]:
    """Return the distinct words of a text that are no stop words."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(words_of(text)) - ENGLISH_STOP_WORDS


def _lengths(prose: str, words: list[str], n_distinct: int) -> dict[str, float]:
    n_words = len(words)
    sentences = sum(1 for part in _SENTENCE_END.split(prose) if _WORD.search(part))
    letters = sum(map(len, words))
    return {
        "words_log": float(np.log1p(n_words)),
        "sentence_length": float(np.log1p(n_words / max(sentences, 1))),
        "word_length": float(np.log1p(letters / max(n_words, 1))),
        "word_variety": float(np.log1p(n_distinct) / np.log1p(n_words)) if n_words else 0.0,
    }


def _marks(prose: str, n_steps: int) -> dict[str, float]:
    n_bullets = _matches(_BULLET, prose)
    counts = {
        "numbered_steps": n_steps,
        "bullet_points": n_bullets,
        "headings_bold": _matches(_HEADING, prose) + prose.count("**") // 2,
        "line_breaks": max(prose.strip().count("\n") - n_steps - n_bullets, 0),
        "questions": prose.count("?") + prose.count("？"),
        "exclamations": prose.count("!") + prose.count("！"),
        "parentheses": prose.count("("),
        "quotations": prose.count('"') // 2 + prose.count("“"),
        "code": prose.count("`") // 2,
        "emoji": _matches(_EMOJI, prose),
    }
    return {name: float(np.log1p(count)) for name, count in counts.items()}


def _matches(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in pattern.finditer(text))


def _word_shares(words: list[str], distinct: Counter[str]) -> dict[str, float]:
    per_hundred = 100 / max(len(words), SHARE_FLOOR)
    line = f" {' '.join(words)} "
    counts = {
        name: _total(distinct, lexicon & distinct.keys()) + sum(map(line.count, phrases))
        for name, (lexicon, phrases) in _LEXICONS.items()
    }
    counts["numbers"] = _total(distinct, filter(str.isdigit, distinct))
    counts["contractions"] = _total(distinct, filter(_CONTRACTION.search, distinct))
    return {name: count * per_hundred for name, count in counts.items()}


def _total(counts: Counter[str], words: Iterable[str]) -> int:
    return sum(counts[word] for word in words)


def topic_matrix(
    responses: Sequence[str], candidate_prompt: NDArray[np.int64]
) -> tuple[NDArray[np.float64], list[list[str]]]:
    """Return topic features (A, T) and the strongest words of each of the T topics.

    The leading principal directions of TF-IDF *within prompts*: words that all answers to a
    prompt share are its subject, cancel in every likelihood, and would fill the topics if their
    mean stayed in. T is one for every `TOPIC_CANDIDATES` responses, at most `MAX_TOPICS`, and 0
    where there are no words to go by. The sign makes a topic's strongest word positive.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # a second to load, for fits alone

    n_topics = min(MAX_TOPICS, len(responses) // TOPIC_CANDIDATES)
    vectorizer = TfidfVectorizer(
        analyzer=topic_words,  # pyright: ignore[reportArgumentType] (a callable is documented)
        min_df=2,
        max_features=MAX_VOCABULARY,
    )
    try:
        tfidf = csr_array(vectorizer.fit_transform(responses)) if n_topics else None  # (A, V)
    except ValueError:  # scikit-learn's answer to an empty vocabulary
        tfidf = None
    if tfidf is None:
        return np.empty((len(responses), 0)), []
    gram = _within_prompt_gram(tfidf, candidate_prompt)  # (V, V)
    loadings = _leading_directions(gram, n_topics, least=ROUNDING * len(responses))  # (V, T)
    vocabulary = vectorizer.get_feature_names_out()
    return tfidf @ loadings, [_strongest(vocabulary, column) for column in loadings.T]


def topic_words(text: str) -> list[str]:
    """Return the words of a text that can label a topic: no numbers, stop words, contractions.

    >>> topic_words("Don't save 100 a month; budget!")
    ['save', 'month', 'budget']
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    words = [w for w in words_of(text) if len(w) > 2 and w.isalpha()]
    return [w for w in words if w not in ENGLISH_STOP_WORDS and w not in NO_SUBJECT]


def _within_prompt_gram(tfidf: csr_array, prompt: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return X'X (V, V) of the rows of X (A, V) less their prompt's mean."""
    size = np.bincount(prompt)[prompt]
    rows = np.arange(len(prompt))
    root_means = csr_array((1 / np.sqrt(size), (prompt, rows))) @ tfidf  # (P, V)
    return (tfidf.T @ tfidf - root_means.T @ root_means).toarray()


def _leading_directions(
    gram: NDArray[np.float64], n_topics: int, least: float
) -> NDArray[np.float64]:
    """Return up to n_topics eigenvectors (V, T), largest first, of eigenvalues above `least`."""
    n_words = len(gram)
    first = max(n_words - n_topics, 0)
    variances, directions = eigh(gram, subset_by_index=(first, n_words - 1))
    directions = directions[:, variances > least][:, ::-1]
    strongest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
    return directions * np.sign(strongest)


def _strongest(vocabulary: NDArray, loading: NDArray[np.float64]) -> list[str]:
    order = np.argsort(-loading, kind="stable")[:TOPIC_WORDS]
    return [str(vocabulary[v]) for v in order if loading[v] > 0]
