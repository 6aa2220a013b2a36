"""What an audit's reader is warned of, and what not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from emdpo.core.audit import AuditConfig, audit_types
from emdpo.core.cautions import cautions

SURE = np.tile(np.eye(2), (30, 1))
GROUP = pd.DataFrame({"opinion": ["a", "b"] * 30, "age": ["x", "x", "y", "y"] * 15}, dtype=object)


def warned(resp=SURE, groups=("age",), config=None, longest=4, starts=(10, 10, 1.0)):
    config = config or AuditConfig(n_bootstrap=5, crossed=False)
    scores = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    attributes = GROUP[list(groups)]
    audit = audit_types(
        scores, scores[0], np.zeros(3, int), resp, resp.mean(axis=0), 1.0, attributes, config
    )
    return cautions(audit, resp, longest, *starts)


def test_there_may_be_nothing_to_beware_of():
    assert warned() == ()


def test_groups_that_coincide_with_types():
    """Each of the 30 people of opinion a is of type 1, each of b of type 2."""
    (told,) = warned(groups=("opinion", "age"))
    assert told.startswith("Types and opinion nearly coincide (Cramer's V 1.00, n = 60).")


def test_what_was_computed_from_the_rankings_is_no_finding():
    config = AuditConfig(n_bootstrap=5, crossed=False, computed=("opinion",))
    (told,) = warned(groups=("opinion",), config=config)
    assert told.startswith("opinion was computed from these rankings")


def test_pairs_only():
    (told,) = warned(longest=2)
    assert told.startswith("The data are pairs only")


def test_uncertain_types():
    (told,) = warned(np.tile([[0.7, 0.3], [0.3, 0.7]], (30, 1)))
    assert "their most likely one has 70% on average (n = 60)" in told


@pytest.mark.parametrize(
    ("starts", "told"),
    [((10, 1, 0.5), 1), ((10, 2, 0.5), 0), ((10, 1, 0.9), 0), ((1, 1, None), 0)],
)
def test_starts_that_disagree(starts, told):
    found = warned(starts=starts)
    assert len(found) == told
    assert all("Only 1 of 10 starts" in each for each in found)


def test_one_type_is_no_matter_of_starts_or_pairs():
    one = np.ones((60, 1))
    scores = np.array([[1.0, 0.0, 0.0]])
    config = AuditConfig(n_bootstrap=5, crossed=False)
    audit = audit_types(
        scores, scores[0], np.zeros(3, int), one, np.ones(1), 1.0, GROUP[["age"]], config
    )
    assert cautions(replace(audit), one, 2, 10, 1, 0.1) == ()
