"""No cell of a CSV for people runs in a spreadsheet, and none is lost."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emdpo.spreadsheets import neutral, restored, spreadsheet_csv, spreadsheet_table

SIGNS = "=+-@\t\r\n\0＝＋－＠|%"
TEXTS = st.text(alphabet=[*SIGNS, *"';\" 1a,<"], max_size=12) | st.text(max_size=12)


@pytest.mark.parametrize("sign", SIGNS)
def test_text_that_begins_with_a_formula_sign_begins_with_an_apostrophe(sign):
    assert neutral(f"{sign}cmd|' /C calc'!A0").startswith(f"'{sign}")
    assert neutral(f' "{sign}HYPERLINK(1)').startswith("'")


@pytest.mark.parametrize("text", ["ann", "60+", "'t Hooft", "a=b", "", "-5", "+49", "-1e-3"])
def test_harmless_text_and_numbers_stay(text):
    assert neutral(text) == text


def test_numbers_that_go_on_as_formulas_are_no_numbers():
    assert neutral("-1+cmd|' /C calc'!A0").startswith("'-1")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("hostile", ["=1+1", "x;=1+1", "x;;\t@y", 'x";"=1+1', "x\n=1+1", "x\r-1+1"])
def test_no_spreadsheet_sees_a_formula_whatever_it_takes_for_the_separator(separator, hostile):
    """The CSV is read back with each separator: no cell, quotes and spaces apart, is a formula."""
    content = spreadsheet_csv(pd.DataFrame({"n": [1.5], "=a": [hostile], "value": [-0.25]}))
    cells = [
        cell
        for row in csv.reader(io.StringIO(content, newline=None), delimiter=separator)
        for cell in row
    ]
    inside = [cell.strip().strip('"').strip() for cell in cells]
    formulas = [cell for cell in inside if re.match(r"[=+\-@]", cell)]
    assert set(formulas) <= {"-0.25"}


@given(TEXTS)
def test_what_was_neutralised_can_be_restored(text):
    assert restored(neutral(text)) == text


@given(TEXTS, TEXTS)
def test_different_texts_stay_different(one, other):
    assert (neutral(one) == neutral(other)) == (one == other)


def test_numbers_stay_numbers_to_the_last_bit():
    values = np.array([-0.1, 1 / 3, 1e-300, np.nan])
    table = pd.DataFrame({"=name": ["=1", "b", None, "d"], "value": values})
    again = pd.read_csv(io.StringIO(spreadsheet_csv(table)))
    assert again["value"].tolist()[:3] == values.tolist()[:3] and np.isnan(again["value"][3])
    assert again.columns[0] == "'=name" and again["'=name"][0] == "'=1"


def test_a_table_is_not_changed_by_its_safe_copy():
    table = pd.DataFrame({"a": ["=1+1", "@x", "plain"], "b": [-1.0, 2.0, 3.0]})
    safe = spreadsheet_table(table)
    assert safe["a"].tolist() == ["'=1+1", "'@x", "plain"] and safe["b"].min() == -1.0
    assert table["a"][0] == "=1+1"


def test_an_empty_table_keeps_its_columns():
    assert spreadsheet_csv(pd.DataFrame(columns=["a", "b"])) == '"a","b"\n'
