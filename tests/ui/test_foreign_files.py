"""Files of other tools and data sets, uploaded as they are."""

from __future__ import annotations

import pytest
import stand_ins as data

from emdpo import load
from emdpo.ui import data_tab


@pytest.fixture
def uploaded(place, tmp_path):
    """Return a function that loads rows, or text, as a visitor's file: its data and the status."""

    def run(content, users=None, name="file.jsonl"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else data.as_jsonl(content), "utf-8")
        second = None if users is None else str(data.write_jsonl(tmp_path / "users.jsonl", users))
        data_id, status = data_tab.load_files(place, str(path), second)
        return (place.data(data_id) if isinstance(data_id, str) else None), status, data_id

    return run


def test_prism_with_its_survey_is_read_straight(uploaded, place):
    """What a fit will read is a file of emdpo's own, people's attributes included."""
    found, status, data_id = uploaded(data.PRISM_UTTERANCES, data.PRISM_SURVEY)
    assert "line-good" in status
    assert (found.rankings.n_rankings, found.name) == (
        2,
        "file.jsonl, read as PRISM, utterances",
    )
    told = [str(problem) for problem in found.report.warnings]
    assert "file.jsonl: left out: 1 one answer only" in told
    again = load(found.job_input.rankings, users=found.job_input.users)
    assert again.users.loc["user0", "gender"] == "Female"
    shown = data_tab.show(place, data_id)
    assert "read as PRISM" in shown[0] and "ordered by rank" in shown[3]


def test_preflib_is_read_straight(uploaded):
    found, _, _ = uploaded(data.PREFLIB_TOI, name="tea.toi")
    assert found.rankings.n_users == 4 and found.name == "tea.toi, read as PrefLib .toi"


def test_columns_can_still_be_corrected(uploaded, place):
    """Corrections are about the table that the page shows; a fit reads what comes of them."""
    _, _, data_id = uploaded(data.PREFLIB_TOI, name="tea.toi")
    corrected = place.data(place.correct_columns(data_id, {"ranking_id": None}))
    assert corrected.report.errors == () and corrected.rankings.n_rankings == 4
    assert corrected.name == "tea.toi, read as PrefLib .toi"
    assert load(corrected.job_input.rankings).ranking_ids[0] == "voter-1 / Best tea"


def test_a_users_file_of_ones_own_goes_with_any_format(uploaded):
    people = [{"user_id": "w1", "city": "Rome"}, {"user_id": "e1", "city": "Oslo"}]
    found, _, _ = uploaded(data.MULTIPREF, people)
    assert found.rankings.users["city"].tolist() == ["Rome", "Oslo"]


def test_what_is_wrong_with_a_foreign_file_is_one_line(uploaded):
    wrong = [{**row, "score": "<b>high</b>"} for row in data.PRISM_UTTERANCES]
    found, status, _ = uploaded(wrong)
    assert found.rankings is None and "line-error" in status
    assert "row 1, column" in status and "<b>high" not in status
