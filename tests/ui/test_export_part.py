"""A run out to other tools from the Types tab: the same files as from the command line."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import emdpo
from emdpo.core.errors import EmdpoError
from emdpo.formats.exporting import EXPORTS
from emdpo.ui import export_part
from emdpo.ui.export_part import ABOUT, CANONICAL, CHOICES, COMPARATOR, PREFLIB, TRL


def lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_format_that_is_written_is_offered():
    assert {name for _, name in CHOICES} == set(EXPORTS) == set(ABOUT)


@pytest.mark.parametrize("kind", EXPORTS)
def test_the_options_are_those_of_the_format(place, demo_run, kind):
    about, types, soft, prompt = export_part.show(place, demo_run[1], kind)
    assert len(about) > 80 and len(types.choices) == 3
    assert types.visible == (kind in (TRL, COMPARATOR)) and soft.visible == (kind == TRL)
    assert types.value == ([1, 2] if kind == COMPARATOR else [1, 2, 3])
    assert prompt.visible == (kind == PREFLIB)
    assert prompt.value in set(place.fit(demo_run[1]).rankings.prompts["prompt_id"])


@pytest.mark.parametrize(("types", "soft"), [([1, 2, 3], False), ([2], False), ([3, 1], True)])
def test_pairs_are_those_of_the_library(place, demo_run, tmp_path, types, soft):
    path = export_part.export(place, demo_run[1], TRL, types, soft, None)
    same = tmp_path / "same.jsonl"
    emdpo.export_rankings(place.fit(demo_run[1]), same, "trl", types=types, soft=soft)
    assert path.name == "trl-pairs.jsonl" and path.read_bytes() == same.read_bytes()
    assert {row["type"] for row in lines(path)} == {f"type-{number}" for number in types}


def test_two_types_side_by_side(place, demo_run):
    path = export_part.export(place, demo_run[1], COMPARATOR, [3, 1], False, None)
    held = json.loads(path.read_text("utf-8"))
    assert [model["name"] for model in held["models"]] == ["Type 1", "Type 3"]
    assert len(held["examples"]) == place.fit(demo_run[1]).rankings.n_prompts


def test_the_orders_of_a_prompt_are_read_back(place, demo_run):
    panel = place.fit(demo_run[1]).rankings
    prompt = panel.prompts["prompt_id"].iloc[3]
    path = export_part.export(place, demo_run[1], PREFLIB, [], False, prompt)
    assert path.suffix in (".soc", ".toc")
    assert emdpo.import_rankings(path).rankings.n_rankings == (panel.prompt == 3).sum()


def test_the_rankings_are_read_back(place, demo_run):
    path = export_part.export(place, demo_run[1], CANONICAL, [], False, None)
    again, panel = emdpo.load(path), place.fit(demo_run[1]).rankings
    assert (again.n_users, again.n_rankings) == (panel.n_users, panel.n_rankings)
    pd.testing.assert_series_equal(again.prompts["prompt"], panel.prompts["prompt"])


@pytest.mark.parametrize(
    ("kind", "types", "prompt", "told"),
    [
        (TRL, [], None, "at least one type"),
        (COMPARATOR, [1], None, "compares two types, got 1"),
        (COMPARATOR, [1, 2, 3], None, "compares two types, got 3"),
        (PREFLIB, [], "../../etc", "holds one prompt"),
        ("csv", [], None, "no format"),
    ],
)
def test_what_cannot_be_written_is_one_line(place, demo_run, kind, types, prompt, told):
    with pytest.raises(EmdpoError, match=told):
        export_part.export(place, demo_run[1], kind, types, False, prompt)


def test_without_a_run_there_is_nothing_to_write(place):
    assert len(export_part.show(place, "", TRL)) == 4
    with pytest.raises(EmdpoError, match="No fitted run"):
        export_part.export(place, "", TRL, [1], False, None)
