"""What a log-linear type policy reads of each candidate: items, named columns, or text features.

Measuring text is `text_features`. Features taken from a base model are not made here.

Units
-----
The optimiser sees features divided by their pooled standard deviation *within rankings*. The
Plackett-Luce likelihood depends only on differences between candidates of one ranking, so this
is the unit in which every feature varies by about one where it matters, which keeps the problem
well conditioned and makes an l2 penalty and the sizes of theta comparable between features. A
spread over the whole file would be dominated by differences between prompts, which cancel.
Centring cannot change the likelihood either (a constant per prompt cancels): the global mean is
taken out only to keep rounding small for columns such as years or time stamps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from emdpo.core.errors import EmdpoError
from emdpo.core.rankings import FEATURE_PREFIX, feature_columns
from emdpo.core.text_features import STYLE_PHRASES, text_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

FeatureKind = Literal["items", "text", "columns"]

MAX_ITEMS = 1000
"""With more distinct responses, `auto` does not give each a utility of its own.

Free utilities predict new users far better than text where each is judged often, even with
hundreds of items (votes on 275 and 847 statements: 0.59 against 0.64 and 0.66 nats a pair); the
limit keeps theta readable and the information matrix of K types in memory."""

MAX_ITEM_PROMPTS = 10
"""With more prompts, `auto` looks for what answers to different prompts share."""

MIN_ROWS_PER_ITEM = 30
"""With fewer judgements of each response, `auto` does not trust a free utility of each."""

LABEL_LENGTH = 60
"""Characters of a label; a longer response_id is cut with an ellipsis."""


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """D features phi of the A distinct candidates, as the log-linear policies read them.

    `theta` (K, D) is in standardised units throughout; `raw_theta` takes it to the file's units.
    """

    kind: FeatureKind
    """items: one free utility per response_id; text: measured from the text; columns: x_*."""
    reason: str
    """One sentence: why this set."""
    names: tuple[str, ...]
    """(D,) safe names for theta.csv: column name, response_id, or name of the text feature."""
    labels: tuple[str, ...]
    """(D,) short names for people, used on figures."""
    matrix: NDArray[np.float64] | None
    """(A, D) standardised features; None for items, whose indicator matrix is never made."""
    codes: NDArray[np.int64] | None
    """(A,) for items only: which of the D items each candidate is, in 0..D-1."""
    scale: NDArray[np.float64]
    """(D,) > 0, pooled within-ranking standard deviation: raw = standardised * scale + offset."""
    offset: NDArray[np.float64]
    """(D,) raw mean over the candidates."""
    dropped: tuple[str, ...] = ()
    """Features left out because they vary within no ranking, so that they cannot matter."""
    correlation: NDArray[np.float64] | None = None
    """(D, D) pooled correlation within rankings, for describing theta; None = uncorrelated."""

    @property
    def n_features(self) -> int:
        """D."""
        return len(self.names)

    def scores(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return theta_k . phi (K, A) of every candidate under every type, theta (K, D)."""
        if self.codes is not None:
            return theta[:, self.codes]  # (K, A)
        return theta @ self._design().T  # (K, A)

    def score_gradient(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return d/dtheta (K, D), given d/dscores (K, A): the adjoint of `scores`."""
        if self.codes is None:
            return gradient @ self._design()  # (K, D)
        totals = np.zeros((len(gradient), self.n_features))  # (K, D)
        for k, row in enumerate(gradient):
            totals[k] = np.bincount(self.codes, row, minlength=self.n_features)
        return totals

    def raw_theta(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return theta (K, D) in the units of `raw_matrix`.

        The raw scores `raw_theta(theta) @ raw_matrix().T` equal `scores(theta)` plus one constant
        per type, `raw_theta(theta) @ offset`, which cancels in every likelihood and regret.
        """
        return theta / self.scale

    def raw_matrix(self) -> NDArray[np.float64]:
        """Return the features (A, D) before standardisation; for items their indicators."""
        if self.codes is not None:
            return np.eye(self.n_features)[self.codes]  # (A, D)
        return self._design() * self.scale + self.offset  # (A, D)

    def _design(self) -> NDArray[np.float64]:
        if self.matrix is None:
            raise TypeError(f"a FeatureSet of kind {self.kind!r} needs a matrix")
        return self.matrix


def build_features(rankings: Rankings, kind: str = "auto") -> FeatureSet:
    """Return the features of every candidate of a panel.

    Parameters
    ----------
    rankings
        The rankings to fit. Their candidate sets decide each feature's unit and which features
        are dropped; the features themselves are made for all A candidates, held out ones too.
    kind
        items, text, columns, or auto: columns where the file has x_*, items where few responses
        to few prompts are each judged many times, text otherwise.

    Raises
    ------
    EmdpoError
        Unknown kind, no rankings, columns without an x_* column, or no feature that varies
        within any ranking.
    """
    if not rankings.n_rows:
        raise EmdpoError("there are no rankings to make features for")
    if kind == "auto":
        return _auto(rankings)
    if kind == "items":
        return _items(rankings, _items_reason(rankings))
    if kind == "columns":
        return _columns(rankings, "asked for: the numeric columns of the file")
    if kind == "text":
        return _text(rankings, "asked for: features measured from the text of the responses")
    raise EmdpoError(f"features must be auto, items, text or columns, got {kind!r}")


def _auto(rankings: Rankings) -> FeatureSet:
    columns = feature_columns(rankings.candidates)
    if columns:
        return _columns(rankings, f"auto: the file has {_count(len(columns), 'x_* column')}")
    objection = _objection_to_items(rankings)
    if objection is None:
        return _items(rankings, f"auto: {_item_figures(rankings)}")
    try:
        return _text(rankings, f"auto: {objection}")
    except EmdpoError:
        return _items(rankings, "auto: no feature of the text varies within any ranking")


def _objection_to_items(rankings: Rankings) -> str | None:
    """Return why a free utility per response is unwise here, or None where it is not."""
    n_items = len(rankings.candidates["response_id"].unique())
    rows = rankings.n_rows / max(n_items, 1)
    if n_items > MAX_ITEMS:
        return f"{n_items} distinct responses, too many for a utility each (limit {MAX_ITEMS})"
    if rankings.n_prompts > MAX_ITEM_PROMPTS:
        return (
            f"{rankings.n_prompts} prompts (over {MAX_ITEM_PROMPTS}), "
            "so types are described by what answers to different prompts share"
        )
    if rows < MIN_ROWS_PER_ITEM:
        return (
            f"each of {n_items} responses is judged {rows:.1f} times on average, "
            f"too few for a utility each (at least {MIN_ROWS_PER_ITEM})"
        )
    if not _ids_keep_their_text(rankings.candidates):
        return "the same response_id carries different texts, so it is no item"
    return None


def _ids_keep_their_text(candidates: pd.DataFrame) -> bool:
    texts = candidates.drop_duplicates(["response_id", "response"])
    return len(texts) == len(candidates["response_id"].unique())


def _item_figures(rankings: Rankings) -> str:
    n_items = len(rankings.candidates["response_id"].unique())
    rows = rankings.n_rows / max(n_items, 1)
    return f"{n_items} distinct responses, each judged {rows:.0f} times on average"


def _items_reason(rankings: Rankings) -> str:
    reason = f"asked for: {_item_figures(rankings)}"
    if _ids_keep_their_text(rankings.candidates):
        return reason
    return f"{reason}; a response_id that carries different texts has one utility for all"


def _items(rankings: Rankings, reason: str) -> FeatureSet:
    codes, ids = pd.factorize(rankings.candidates["response_id"])
    names = tuple(str(name) for name in ids)
    return FeatureSet(
        kind="items",
        reason=reason,
        names=names,
        labels=tuple(_shortened(name) for name in names),
        matrix=None,
        codes=codes.astype(np.int64),
        scale=np.ones(len(names)),
        offset=np.zeros(len(names)),
    )


def _columns(rankings: Rankings, reason: str) -> FeatureSet:
    names = feature_columns(rankings.candidates)
    if not names:
        raise EmdpoError(
            f"features 'columns' need numeric columns named {FEATURE_PREFIX}*: none here"
        )
    raw = rankings.candidates[names].to_numpy(np.float64)  # (A, D)
    labels = [name.removeprefix(FEATURE_PREFIX).replace("_", " ") for name in names]
    return _standardised(rankings, "columns", reason, raw, names, labels)


def _text(rankings: Rankings, reason: str) -> FeatureSet:
    responses = rankings.candidates["response"].tolist()
    prompts = rankings.prompts["prompt"].tolist()
    raw, names, labels = text_features(responses, prompts, rankings.candidate_prompt)
    return _standardised(rankings, "text", reason, raw, names, labels)


def _standardised(
    rankings: Rankings,
    kind: FeatureKind,
    reason: str,
    raw: NDArray[np.float64],
    names: list[str],
    labels: list[str],
) -> FeatureSet:
    """Return the features that vary within some ranking, in units of that variation."""
    largest = np.abs(raw).max(axis=0)
    magnitude = np.where(largest > 0, largest, 1.0)  # (D,) sums of squares cannot overflow then
    spread = np.array([_spread(rankings, column) for column in (raw / magnitude).T])  # (D,)
    keep = np.flatnonzero(spread > 0)
    if not len(keep):
        raise EmdpoError(f"features {kind!r}: none varies within any ranking; try 'items'")
    kept, magnitude, spread = raw[:, keep] / magnitude[keep], magnitude[keep], spread[keep]
    mean = kept.mean(axis=0)
    matrix = (kept - mean) / spread
    return FeatureSet(
        kind=kind,
        reason=reason,
        names=tuple(names[d] for d in keep),
        labels=tuple(labels[d] for d in keep),
        matrix=matrix,
        codes=None,
        scale=spread * magnitude,
        offset=mean * magnitude,
        dropped=tuple(name for d, name in enumerate(names) if d not in keep),
        correlation=within_ranking_covariance(rankings, matrix),
    )


def _spread(rankings: Rankings, values: NDArray[np.float64]) -> float:
    """Return the pooled within-ranking standard deviation of one feature (A,).

    The root of the mean, over all rows shown, of the squared deviation from the ranking's mean.
    Differences from the ranking's first row come first, so that a constant gives exactly 0.
    """
    shown = values[rankings.candidate]  # (C,)
    starts = rankings.offsets[:-1]
    from_first = shown - np.repeat(shown[starts], rankings.lengths)
    means = np.add.reduceat(from_first, starts) / rankings.lengths  # (R,)
    deviation = from_first - np.repeat(means, rankings.lengths)
    return float(np.sqrt(np.mean(deviation**2)))


def within_ranking_covariance(
    rankings: Rankings, matrix: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the pooled within-ranking covariance (D, D) of features (A, D)."""
    ones = np.ones(rankings.n_rows)
    shape = (rankings.n_rankings, rankings.n_candidates)
    shown = csr_array((ones, rankings.candidate, rankings.offsets), shape)  # (R, A)
    root_means = (shown @ matrix) / np.sqrt(rankings.lengths)[:, None]  # (R, D)
    total = matrix.T @ (shown.sum(axis=0)[:, None] * matrix)
    return (total - root_means.T @ root_means) / rankings.n_rows


def describe_preferences(
    features: FeatureSet, theta: NDArray[np.float64], top: int = 6
) -> list[tuple[str, float]]:
    """Return the strongest wishes of one type in words, with their strength, strongest first.

    Parameters
    ----------
    theta
        (D,) in standardised units: one type's, or its difference from the average of the types,
        which says what sets it apart.
    top
        How many phrases at most; a strength of zero gives none.

    Returns
    -------
    Phrase and strength > 0. The strength is how much higher the type scores answers that have
    one within-ranking standard deviation more of the feature, together with what usually comes
    with it (the regression of the score on that feature alone). theta itself would split a taste
    for, say, brevity between collinear features with signs that mislead a reader. For items the
    strength is the distance from the mean utility.
    """
    strength = _strength(features, theta)
    order = np.argsort(-np.abs(strength), kind="stable")[:top]
    return [
        (_phrase(features, int(d), bool(strength[d] > 0)), float(abs(strength[d])))
        for d in order
        if strength[d] != 0
    ]


def _strength(features: FeatureSet, theta: NDArray[np.float64]) -> NDArray[np.float64]:
    if features.kind == "items":
        return theta - theta.mean()
    return theta if features.correlation is None else features.correlation @ theta


def _phrase(features: FeatureSet, d: int, likes: bool) -> str:
    name, label = features.names[d], features.labels[d]
    if name in STYLE_PHRASES and features.kind == "text":
        return STYLE_PHRASES[name][0 if likes else 1]
    if features.kind == "columns":
        return f"prefers {'higher' if likes else 'lower'} {label}"
    return f"{'prefers' if likes else 'dislikes'} {label}"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LABEL_LENGTH else line[: LABEL_LENGTH - 1].rstrip() + "…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
