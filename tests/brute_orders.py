"""What an order tells about a type, by plain loops over all orders and types."""

from __future__ import annotations

import math
from itertools import permutations


def order_probability(utilities, order) -> float:
    """Return the Plackett-Luce probability of an order (positions, best first)."""
    left, product = [math.exp(u) for u in utilities], 1.0
    for chosen in order:
        product *= math.exp(utilities[chosen]) / sum(left)
        left[chosen] = 0.0
    return product


def fall_of(scores, posterior) -> float:
    """Return H(type) - sum_o P(o) H(type | o) in nats, for scores (K, m), posterior (K,) > 0."""
    fall = -sum(p * math.log(p) for p in posterior)
    for order in permutations(range(len(scores[0]))):
        joint = [p * order_probability(s, order) for p, s in zip(posterior, scores, strict=True)]
        fall += sum(p * math.log(p / sum(joint)) for p in joint)
    return fall
