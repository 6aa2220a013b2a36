"""The committed demo files are what the script makes, and are what their README says."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats.contingency import association

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "assets" / "demo"
MANNERS = ("terse", "steps", "warm", "sceptical")


def load_script():
    spec = importlib.util.spec_from_file_location("make_demo", ROOT / "scripts" / "make_demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make_demo():
    return load_script()


@pytest.fixture(scope="module")
def questions():
    return [json.loads(line) for line in (DEMO / "questions.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def rankings():
    return pd.read_csv(DEMO / "rankings.csv", dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def truth():
    return pd.read_csv(DEMO / "truth.csv", dtype=str).set_index("user_id")["planted_type"]


@pytest.fixture(scope="module")
def classroom():
    return pd.read_csv(DEMO / "classroom.csv", dtype=str)


def users_by_type(rankings, truth):
    users = rankings.drop_duplicates("user_id").set_index("user_id")
    return users.assign(planted_type=truth)


def cramers_v(users, column):
    return association(pd.crosstab(users["planted_type"], users[column]), method="cramer")


def words(questions, manner):
    return [len(question["answers"][manner].split()) for question in questions]


def test_committed_files_are_what_the_script_makes(make_demo, tmp_path):
    make_demo.write_demo(tmp_path)
    for name in ("rankings.csv", "truth.csv", "classroom.csv"):
        assert (tmp_path / name).read_bytes() == (DEMO / name).read_bytes(), name


def test_demo_folder_stays_under_two_megabytes():
    assert sum(path.stat().st_size for path in DEMO.iterdir()) < 2_000_000


def test_sixty_questions_with_four_distinct_answers_each(questions):
    assert [question["prompt_id"] for question in questions] == [f"q{i:02d}" for i in range(1, 61)]
    assert len({question["prompt"] for question in questions}) == 60
    for question in questions:
        assert set(question) == {"prompt_id", "prompt", "answers"}
        assert tuple(question["answers"]) == MANNERS
    answers = [question["answers"][manner] for question in questions for manner in MANNERS]
    assert len(set(answers)) == 240
    assert all(answer.isascii() and answer == answer.strip() for answer in answers)
    assert all(10 <= len(answer.split()) <= 90 for answer in answers)


def test_no_two_answers_of_a_manner_open_alike(questions):
    for manner in ("terse", "warm", "sceptical"):
        openers = [" ".join(question["answers"][manner].split()[:3]) for question in questions]
        assert len(set(openers)) == 60, manner


def test_terse_answers_are_much_shorter_than_the_others(questions):
    longest_terse = max(words(questions, "terse"))
    for manner in ("steps", "warm", "sceptical"):
        assert np.median(words(questions, manner)) > 1.5 * np.median(words(questions, "terse"))
        assert np.median(words(questions, manner)) > longest_terse


def test_exactly_the_steps_answers_are_numbered_lists(questions):
    """Numbers count 1, 2, ... without gaps, three to five of them."""
    for question in questions:
        for manner in MANNERS:
            numbers = re.findall(r"^(\d+)\. \S", question["answers"][manner], flags=re.MULTILINE)
            n_steps = len(numbers)
            assert numbers == [str(i + 1) for i in range(n_steps)]
            assert (3 <= n_steps <= 5) if manner == "steps" else n_steps == 0


def test_sceptical_answers_ask_and_hedge_and_warm_ones_speak_to_you(questions):
    hedges = r"\b(may|might|perhaps|maybe|probably|likely|seems?|depends|doubt\w*|possibly|could)\b"
    shares = {
        manner: {
            pattern: np.mean(
                [bool(re.search(pattern, q["answers"][manner], re.I)) for q in questions]
            )
            for pattern in (r"\?", hedges, r"\byou(r|'\w+)?\b")
        }
        for manner in MANNERS
    }
    assert shares["sceptical"][r"\?"] > 0.9
    assert shares["sceptical"][hedges] > 0.8
    assert shares["warm"][r"\byou(r|'\w+)?\b"] > 0.9
    for manner in ("terse", "steps", "warm"):
        assert shares[manner][r"\?"] < 0.1
        assert shares[manner][hedges] < shares["sceptical"][hedges] - 0.3


def test_every_rater_fully_ranks_four_answers_of_six_questions(rankings):
    assert rankings["user_id"].nunique() == 240
    assert (rankings.groupby("user_id")["prompt_id"].nunique() == 6).all()
    each = rankings.groupby(["user_id", "prompt_id"])
    assert len(each) == 1440
    assert (each["rank"].apply(lambda rank: "".join(sorted(rank))) == "1234").all()
    assert (each["response_id"].nunique() == 4).all()


def test_rows_quote_the_questions_exactly(rankings, questions):
    expected = {
        f"{question['prompt_id']}-{manner}": (question["prompt"], question["answers"][manner])
        for question in questions
        for manner in MANNERS
    }
    shown = rankings[["prompt", "response"]].apply(tuple, axis=1)
    assert (shown == rankings["response_id"].map(expected)).all()
    assert set(rankings["response_id"]) == set(expected)


def test_nothing_but_the_rankings_and_the_age_tells_the_type(make_demo, rankings):
    """The rank has no relation to the row's place, and no column beyond the promised ones."""
    assert tuple(rankings.columns) == make_demo.RANKING_COLUMNS
    place = rankings.groupby(["user_id", "prompt_id"]).cumcount()
    assert abs(np.corrcoef(place, rankings["rank"].astype(int))[0, 1]) < 0.05


def test_truth_names_every_rater_once_in_the_planted_shares(make_demo, rankings, truth):
    assert list(truth.index) == list(rankings["user_id"].unique())
    shares = truth.value_counts(normalize=True).to_dict()
    assert shares == pytest.approx({kind.name: kind.share for kind in make_demo.TYPES})
    assert shares == pytest.approx(
        {"briefly please": 0.5, "walk me through it": 0.3, "talk to me": 0.2}
    )


def test_each_type_puts_its_own_manner_first_most_often(rankings, truth):
    first = rankings[rankings["rank"] == "1"]
    manner = first["response_id"].str.split("-").str[1]
    favourite = manner.groupby(first["user_id"].map(truth)).agg(lambda m: m.mode()[0])
    assert favourite.to_dict() == {
        "briefly please": "terse",
        "walk me through it": "steps",
        "talk to me": "warm",
    }


def test_age_goes_with_the_type_and_region_does_not(rankings, truth):
    users = users_by_type(rankings, truth)
    for column in ("age_band", "region"):
        assert (rankings.groupby("user_id")[column].nunique() == 1).all()
        assert users[column].nunique() == 4
    assert 0.35 < cramers_v(users, "age_band") < 0.5
    assert cramers_v(users, "region") < 0.15


def test_the_best_possible_classifier_nearly_recovers_the_types(make_demo, tmp_path):
    figures = make_demo.write_demo(tmp_path)
    assert 0.95 < figures["Bayes-optimal adjusted Rand index"] < 1


def test_plackett_luce_log_probability_by_hand(make_demo):
    """Utilities log 3, log 2, log 1 in that order: 3/6 * 2/3 * 1 = 1/3."""
    utilities = np.log([3.0, 2.0, 1.0])
    log_p = make_demo.log_plackett_luce(utilities, np.array([0, 1, 2]))
    assert log_p == pytest.approx(np.log(1 / 3))


def test_readme_states_the_true_utilities_shares_and_figures(make_demo, tmp_path):
    text = (DEMO / "README.md").read_text("utf-8")
    for kind in make_demo.TYPES:
        cells = [kind.name, kind.share, round(kind.share * 240), *kind.utilities]
        assert f"| {' | '.join(map(str, cells))} |" in text
        assert f"| {kind.name} | {' | '.join(f'{p:.2f}' for p in kind.ages)} |" in text
    for figure in make_demo.write_demo(tmp_path).values():
        assert f"{figure:.3f}" in text
    assert f"seed {make_demo.SEED}" in text


def test_classroom_is_a_wide_table_with_ties_and_best_only_rankings(classroom):
    assert tuple(classroom.columns) == ("user_id", "prompt", "responses", "ranking", "class")
    assert len(classroom) == 72
    assert classroom["user_id"].nunique() == 24
    assert (classroom.groupby("user_id")["prompt"].nunique() == 3).all()
    assert (classroom.groupby("user_id")["class"].nunique() == 1).all()
    assert all(len(set(json.loads(cell))) == 3 for cell in classroom["responses"])
    assert classroom["ranking"].str.fullmatch(r"[ABC]([>=][ABC]){2}|[ABC]").all()
    assert all(len(set(re.findall("[ABC]", cell))) in (1, 3) for cell in classroom["ranking"])
    assert classroom["ranking"].str.contains("=").sum() >= 5
    assert 2 <= (classroom["ranking"].str.len() == 1).sum() <= 10


def test_classroom_shows_two_tastes(make_demo, classroom):
    """A pupil who puts a fact first twice or more seldom puts a story first at all."""
    lessons = {lesson.prompt: lesson for lesson in make_demo.LESSONS}
    manner = [
        lessons[prompt].answers["ABC".index(ranking[0])][0]
        for prompt, ranking in zip(classroom["prompt"], classroom["ranking"], strict=True)
    ]
    firsts = pd.crosstab(classroom["user_id"], pd.Series(manner, name="manner"))
    for liked, other in (("fact", "story"), ("story", "fact")):
        fans = firsts[firsts[liked] >= 2]
        assert len(fans) >= 6
        assert fans[other].mean() < 0.5
