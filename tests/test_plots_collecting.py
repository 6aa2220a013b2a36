"""The figure of a room's types."""

from __future__ import annotations

import numpy as np
import pytest

from emdpo.core.audit import AuditConfig
from emdpo.core.composition import composition
from emdpo.plots import type_colour
from emdpo.plots.collecting import room_shares_figure


def test_bars_are_mean_responsibilities_with_intervals_over_people():
    """Of 40 people 30 are surely Type 1: the share is 0.75, and its standard error over people
    sqrt(0.75 * 0.25 / 40) = 0.068, so that the interval reaches about 0.134 to both sides.
    """
    sure = np.repeat([[1.0, 0.0], [0.0, 1.0]], [30, 10], axis=0)
    everybody = composition(sure, ["everybody"] * 40, config=AuditConfig(min_group=1))
    figure = room_shares_figure(everybody)
    (bars,) = figure.data
    assert list(bars.x) == [0.75, 0.25] and list(bars.y) == ["Type 1", "Type 2"]
    assert list(bars.error_x.array) == pytest.approx([0.134, 0.134], abs=0.03)
    assert list(bars.error_x.arrayminus) == pytest.approx([0.134, 0.134], abs=0.03)
    assert list(bars.marker.color) == [type_colour(0), type_colour(1)]
    assert [each.text for each in figure.layout.annotations] == ["<b>75%</b>", "<b>25%</b>"]
    assert "n = 40" in figure.layout.title.subtitle.text
    assert figure.layout.title.text.replace("<br>", " ").endswith("each type?</b>")


def test_nine_types_have_nine_looks():
    n = 9
    everybody = composition(np.eye(n), ["everybody"] * n, config=AuditConfig(min_group=1))
    marker = room_shares_figure(everybody).data[0].marker
    assert len(set(zip(marker.color, marker.pattern.shape, strict=True))) >= 8
