"""Groups of users: a missing value is nobody's value, whatever words people use."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emdpo.core.audit import AuditConfig, audit_types
from emdpo.core.composition import composition
from emdpo.core.findings import worst_group
from emdpo.core.groups import NOT_KNOWN, groups_of

VALUES = ["b"] * 12 + [None] * 11 + [NOT_KNOWN] * 10
"""Ten people said "not known"; of eleven nothing is known."""

LABELS = ["b", "not known (blank)", "not known"]


def test_missing_and_the_same_words_are_two_groups():
    groups = groups_of(VALUES)
    assert list(groups.labels) == LABELS
    assert groups.known.tolist() == [True, False, True]
    assert np.bincount(groups.codes).tolist() == [12, 11, 10]


def test_without_such_words_missing_is_not_known():
    assert groups_of(["b", None, "a"]).labels == ("a", "b", NOT_KNOWN)
    assert groups_of([]).labels == ()


def test_audit_and_composition_keep_them_apart():
    """By type, those who said "not known" lose most; the blank ones are not compared at all."""
    rng = np.random.default_rng(0)
    of_second = np.repeat([0.1, 0.9, 0.8], [12, 11, 10])
    responsibilities = np.stack([1 - of_second, of_second], axis=1)
    scores = rng.normal(size=(2, 6))
    audit = audit_types(
        scores,
        scores[0],  # everybody is served by the first type's model
        np.repeat([0, 1], 3),
        responsibilities,
        np.array([0.6, 0.4]),
        0.5,
        pd.DataFrame({"age": pd.Series(VALUES, dtype=object)}),
        AuditConfig(n_bootstrap=20),
    )
    assert [(group.value, group.n, group.known) for group in audit.groups] == [
        ("b", 12, True),
        ("not known (blank)", 11, False),
        ("not known", 10, True),
    ]
    worst = worst_group(audit, "pooled")
    assert worst is not None and worst.value == "not known"
    shares = composition(responsibilities, VALUES, "age", AuditConfig(n_bootstrap=20))
    assert list(shares.values) == LABELS
    assert shares.n == (12, 11, 10)
