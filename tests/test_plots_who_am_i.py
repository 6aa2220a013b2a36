"""The figure of how a person's type became clear."""

from __future__ import annotations

import numpy as np

from emdpo.plots import course_figure, type_colour


def test_a_line_per_type_from_before_any_answer_on():
    course = np.array([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.05, 0.9, 0.05]])
    figure = course_figure(course)
    assert [line.name for line in figure.data] == ["Type 1", "Type 2", "Type 3"]
    for k, line in enumerate(figure.data):
        assert list(line.x) == [0, 1, 2] and list(line.y) == course[:, k].tolist()
        assert line.line.color == type_colour(k)
    assert len({line.line.dash for line in figure.data}) == 3
    assert "your type" in figure.layout.title.text and figure.layout.height > 300
    assert "2 orders" in figure.layout.title.subtitle.text.replace("<br>", " ")
