"""Plackett-Luce log-likelihood of all rankings at once, with its gradient, for K score vectors.

For an order y_1 > ... > y_m the log-likelihood is a sum over stages t of
s(y_t) - log sum_{u >= t} exp s(y_u) (Plackett 1975; with DPO scores: Rafailov et al. 2023, appendix
A.3). Ties take Efron's form (Efron 1977, for tied events in Cox regression): the l-th of d tied
candidates leaves log(T - l/d S), where S sums exp s over the tied and T over these and all worse.
It approximates the average over the d! orders. The last tied group is free: it adds no stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BLOCK_ROWS = 16_384
"""Candidate rows worked on at a time, so that the arrays of a block stay in the CPU's cache."""

SAFE_SPREAD = 600.0
"""Score range within a ranking up to which exp and its reciprocal stay inside float64."""

LONG_ROW = 64
"""Rankings in a block from which adding rows in a Python loop beats np.cumsum."""

UNRANKED = np.iinfo(np.int32).max


class Ties(NamedTuple):
    """Tied stages of a block, sorted by group; places count through its (W, B) rectangle."""

    stage: NDArray[np.intp]
    """Place of each tied stage."""
    top: NDArray[np.intp]
    """Place of the last member of the stage's group: T sums up to here."""
    share: NDArray[np.float64]
    """1 - l/d, so that T - l/d S = share * T + (1 - share) * (T - S) without cancellation."""
    below: NDArray[np.intp]
    """Place just below the group: T - S sums up to here."""
    group_start: NDArray[np.intp]
    """Where each group starts in the arrays above."""


class Block(NamedTuple):
    """B rankings of like length as W positions, worst candidate first, padded in front.

    Positions are the first axis, so that sums along a ranking run over whole rows of memory.
    """

    rankings: NDArray[np.intp]
    """(B,) which rankings these are."""
    rows: NDArray[np.intp]
    """(W, B) their candidate rows; padding repeats a row of the same ranking."""
    real: NDArray[np.bool_] | None
    """(W, B) false on padding; None where there is none."""
    stage: NDArray[np.float64]
    """(W, B) 1 where a candidate is chosen at a stage, 0 in the last group and on padding."""
    idle: NDArray[np.bool_]
    """(W, B) where `stage` is 0."""
    ties: Ties | None


@dataclass(frozen=True, eq=False)
class StageLayout:
    """All stages of R rankings over C candidate rows, cut into blocks."""

    blocks: tuple[Block, ...]
    n_rankings: int
    n_rows: int


def stage_layout(offsets: NDArray[np.int64], ranks: NDArray[np.int32]) -> StageLayout:
    """Return the stages of rankings given as `offsets` (R + 1,) and `ranks` (C,), 0 = unranked."""
    lengths = np.diff(offsets)
    ranking_of_row = np.repeat(np.arange(len(lengths)), lengths)
    below_all = np.where(ranks == 0, UNRANKED, ranks)
    order = np.lexsort((-below_all, ranking_of_row))  # within each ranking, worst first
    sorted_ranks = below_all[order]
    widths = _padded_width(lengths)
    blocks = []
    for width in np.unique(widths):
        members = np.flatnonzero(widths == width)
        for chunk in np.array_split(members, -(-len(members) * width // MAX_BLOCK_ROWS)):
            blocks.append(_block(chunk, int(width), offsets, order, sorted_ranks))
    return StageLayout(tuple(blocks), len(lengths), len(ranks))


def _padded_width(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Round lengths over 8 up to a multiple of an eighth of the power of two above: few shapes."""
    step = np.maximum(1, 2 ** np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64) // 8)
    return -(-lengths // step) * step


def _block(
    rankings: NDArray[np.intp],
    width: int,
    offsets: NDArray[np.int64],
    order: NDArray[np.intp],
    sorted_ranks: NDArray[np.int32],
) -> Block:
    start, end = offsets[rankings], offsets[rankings + 1]
    position = end - width + np.arange(width)[:, None]  # (W, B) in worst-first order
    real = position >= start
    position = np.maximum(position, start)
    rank = sorted_ranks[position]  # padding has the rank of the last group
    stage = real & (rank != rank[0])  # the first position is in the last group or pads it
    return Block(
        rankings=rankings,
        rows=order[position],
        real=None if real.all() else real,
        stage=stage.astype(np.float64),
        idle=~stage,
        ties=_ties(rank, stage),
    )


def _ties(rank: NDArray[np.int32], stage: NDArray[np.bool_]) -> Ties | None:
    """Find groups of two or more tied candidates at stages of a block's `rank` (W, B)."""
    width = len(rank)
    new_group = np.ones_like(stage)
    new_group[1:] = rank[1:] != rank[:-1]
    new_group = new_group.T.ravel()  # ranking after ranking, each worst first: (B * W,)
    group = np.cumsum(new_group) - 1
    size = np.bincount(group)
    tied = np.flatnonzero(stage.T.ravel() & (size[group] > 1))
    if len(tied) == 0:
        return None
    first = np.flatnonzero(new_group)[group[tied]]
    size_of_group = size[group[tied]]
    column, n_columns = tied // width, rank.shape[1]

    def place(index: NDArray[np.intp]) -> NDArray[np.intp]:
        return (index % width) * n_columns + column

    return Ties(
        stage=place(tied),
        top=place(first + size_of_group - 1),
        share=1.0 - (tied - first) / size_of_group,
        below=place(first) - n_columns,
        group_start=np.flatnonzero(tied == first),
    )


def log_likelihoods(layout: StageLayout, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log P_k of every ranking, (K, R), for scores (K, C)."""
    log_lik = np.zeros((len(scores), layout.n_rankings))
    for block in layout.blocks:
        log_lik[:, block.rankings] = _block_terms(block, scores, gradient=False)[0]
    return log_lik


PullBack = Callable[["NDArray[np.float64]"], "NDArray[np.float64]"]
"""Takes a weight for every ranking, (K, R), to sum_r weight_kr d log P_kr / d scores, (K, C)."""


def log_likelihoods_vjp(
    layout: StageLayout, scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], PullBack]:
    """Return log P_k of every ranking, (K, R), and its vector-Jacobian product by scores (K, C).

    The weights of EM depend on the likelihoods, so the derivative is handed out as a function of
    them. It may be called once.
    """
    log_lik = np.zeros((len(scores), layout.n_rankings))
    by_block = []
    for block in layout.blocks:
        log_lik[:, block.rankings], derivative = _block_terms(block, scores, gradient=True)
        by_block.append(derivative)

    def pull_back(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        gradient = np.zeros((len(scores), layout.n_rows))
        for block, derivative in zip(layout.blocks, by_block, strict=True):
            derivative *= weights[:, None, block.rankings]
            for target, source in zip(gradient, derivative, strict=True):
                if block.real is None:
                    target[block.rows] = source
                else:
                    target[block.rows[block.real]] = source[block.real]
        return gradient

    return log_lik, pull_back


def _block_terms(
    block: Block, scores: NDArray[np.float64], *, gradient: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log P (K, B) and, if asked for, its derivative by each candidate's score (K, W, B)."""
    shifted = np.take(scores, block.rows, axis=1)  # (K, W, B)
    shifted -= shifted.max(axis=1, keepdims=True)
    if shifted.min(initial=0.0) < -SAFE_SPREAD:
        return _log_domain_terms(block, shifted, gradient=gradient)
    weight = np.exp(shifted)
    if block.real is not None:
        weight *= block.real
    remaining = _running_sum(weight)  # sum over this candidate and all worse ones
    if block.ties is not None:
        remaining = _efron(block.ties, remaining)
    np.copyto(remaining, 1.0, where=block.idle)
    shifted *= block.stage
    shifted -= np.log(remaining)
    log_lik = shifted.sum(axis=1)
    if not gradient:
        return log_lik, weight
    hazard = np.divide(block.stage, remaining, out=remaining)
    if block.ties is not None:
        _spread_hazard(block.ties, hazard)
    weight *= _running_sum(hazard[:, ::-1])[:, ::-1]
    return log_lik, np.subtract(block.stage, weight, out=weight)


def _running_sum(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cumulative sum over the positions of (K, W, B).

    Adding whole rows is several times faster than np.cumsum along an inner axis, unless rows are
    short.
    """
    if array.shape[2] < LONG_ROW:
        return np.cumsum(array, axis=1)
    total = array.copy()
    for position in range(1, array.shape[1]):
        total[:, position] += total[:, position - 1]
    return total


def _efron(ties: Ties, remaining: NDArray[np.float64]) -> NDArray[np.float64]:
    result = remaining.copy()
    for source, target in zip(_flat(remaining), _flat(result), strict=True):
        tied = ties.share * source[ties.top]
        target[ties.stage] = tied + (1.0 - ties.share) * source[ties.below]
    return result


def _flat(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a view (K, W * B) of a contiguous (K, W, B)."""
    return array.reshape(len(array), -1)


def _spread_hazard(ties: Ties, hazard: NDArray[np.float64]) -> None:
    """Move each tied stage's 1 / (T - l/d S) to the two sums that it is made of, in place."""
    start = ties.group_start
    for row in _flat(hazard):
        tied = row[ties.stage]
        row[ties.stage] = 0.0
        row[ties.top[start]] += np.add.reduceat(tied * ties.share, start)
        row[ties.below[start]] += np.add.reduceat(tied * (1.0 - ties.share), start)


def _log_domain_terms(
    block: Block, shifted: NDArray[np.float64], *, gradient: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `_block_terms`, slower, without leaving the log domain: for extreme scores."""
    log_weight = shifted if block.real is None else np.where(block.real, shifted, -np.inf)
    stage = ~block.idle
    with np.errstate(divide="ignore"):
        log_remaining = np.logaddexp.accumulate(log_weight, axis=1)
        if block.ties is not None:
            log_remaining = _log_efron(block.ties, log_remaining)
        log_lik = np.where(stage, shifted - log_remaining, 0.0).sum(axis=1)
        if not gradient:
            return log_lik, log_weight
        log_hazard = np.where(stage, -log_remaining, -np.inf)
        if block.ties is not None:
            _spread_log_hazard(block.ties, log_hazard)
        log_cumulative = np.logaddexp.accumulate(log_hazard[:, ::-1], axis=1)[:, ::-1]
        return log_lik, block.stage - np.exp(log_weight + log_cumulative)


def _log_efron(ties: Ties, log_remaining: NDArray[np.float64]) -> NDArray[np.float64]:
    result = log_remaining.copy()
    for source, target in zip(_flat(log_remaining), _flat(result), strict=True):
        target[ties.stage] = np.logaddexp(
            np.log(ties.share) + source[ties.top], np.log1p(-ties.share) + source[ties.below]
        )
    return result


def _spread_log_hazard(ties: Ties, log_hazard: NDArray[np.float64]) -> None:
    start = ties.group_start
    moves = ((ties.top, np.log(ties.share)), (ties.below, np.log1p(-ties.share)))
    for row in _flat(log_hazard):
        tied = row[ties.stage]
        row[ties.stage] = -np.inf
        for target, log_share in moves:
            moved = np.logaddexp.reduceat(tied + log_share, start)
            row[target[start]] = np.logaddexp(row[target[start]], moved)
