"""Features: exact values on hand-made input, units, adjoints, `auto`'s choices, hostile text."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emdpo.core.errors import EmdpoError
from emdpo.core.features import (
    MAX_ITEM_PROMPTS,
    MAX_ITEMS,
    build_features,
    describe_preferences,
    within_ranking_covariance,
)
from emdpo.core.rankings import Rankings, rankings_from_table
from emdpo.core.text_features import (
    STYLE_FEATURES,
    STYLE_PHRASES,
    content_words,
    style_matrix,
    style_of,
    text_features,
    topic_matrix,
)

DATA = Path(__file__).parents[2] / "../shared/data"


def panel(rows: list[tuple], columns: str) -> Rankings:
    return rankings_from_table(pd.DataFrame(rows, columns=columns.split()))


def columns_panel(*, n_users: int = 12, seed: int = 0) -> Rankings:
    """Three candidates per ranking; x_year is large, x_prompt is constant within every prompt."""
    rng = np.random.default_rng(seed)
    rows = []
    for prompt in range(4):
        x = rng.normal(size=3)
        years = 2000 + rng.integers(0, 30, 3)
        for user in range(n_users):
            rows += [
                (f"u{user}", f"p{prompt}", f"r{prompt}{m}", m + 1, x[m], years[m], 0.1 * prompt)
                for m in range(3)
            ]
    return panel(rows, "user_id prompt response rank x_warm x_year x_prompt")


def text_panel(texts: list[list[str]], n_users: int = 2) -> Rankings:
    rows = [
        (f"u{user}", f"p{prompt}", text, rank + 1)
        for user in range(n_users)
        for prompt, answers in enumerate(texts)
        for rank, text in enumerate(answers)
    ]
    return panel(rows, "user_id prompt response rank")


def items_panel(n_users: int, texts: dict[str, str], n_prompts: int = 1) -> Rankings:
    rows = [
        (f"u{user}", f"p{prompt}", item, text, 0)
        for user in range(n_users)
        for prompt in range(n_prompts)
        for item, text in texts.items()
    ]
    return panel(rows, "user_id prompt response_id response rank")


# Standardised columns


def test_columns_have_unit_spread_within_rankings_and_mean_zero():
    rankings = columns_panel()
    features = build_features(rankings, "columns")
    assert features.matrix is not None
    shown = features.matrix[rankings.candidate].reshape(-1, 3, features.n_features)
    deviation = shown - shown.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(np.mean(deviation**2, axis=(0, 1)), 1.0)
    np.testing.assert_allclose(features.matrix.mean(axis=0), 0.0, atol=1e-12)


def test_scale_of_one_pair_by_hand():
    """Values 1 and 5 in one ranking deviate by 2 from their mean; the other ranking is apart."""
    rows = [("u", "p", "a", 1, 1.0), ("u", "p", "b", 2, 5.0)]
    features = build_features(panel(rows, "user_id prompt response rank x_length"))
    np.testing.assert_allclose(features.scale, [2.0])
    np.testing.assert_allclose(features.offset, [3.0])
    np.testing.assert_allclose(features.matrix, [[-1.0], [1.0]])


def test_spread_between_prompts_does_not_count():
    """Prompts 1000 apart, candidates 2 apart: the unit is 1, not 500."""
    rows = [
        ("u", "p", "a", 1, 0.0),
        ("u", "p", "b", 2, 2.0),
        ("u", "q", "c", 1, 1000.0),
        ("u", "q", "d", 2, 1002.0),
    ]
    features = build_features(panel(rows, "user_id prompt response rank x_length"))
    np.testing.assert_allclose(features.scale, [1.0])


def test_a_feature_constant_within_every_ranking_is_dropped_and_named():
    features = build_features(columns_panel())
    assert features.names == ("x_warm", "x_year")
    assert features.labels == ("warm", "year")
    assert features.dropped == ("x_prompt",)


def test_a_feature_that_varies_only_between_rankings_of_one_prompt_is_dropped():
    rows = [
        ("u", "1", "p", "a", 1, 0.1, 1.0),
        ("u", "1", "p", "b", 2, 0.1, 2.0),
        ("v", "2", "p", "c", 1, 0.7, 1.0),
        ("v", "2", "p", "d", 2, 0.7, 2.0),
    ]
    columns = "user_id ranking_id prompt response rank x_apart x_here"
    assert build_features(panel(rows, columns)).dropped == ("x_apart",)


def test_columns_theta_comes_back_on_the_raw_scale():
    """The scores are raw_theta . file's columns less one constant per type."""
    rankings = columns_panel()
    features = build_features(rankings, "columns")
    theta = np.random.default_rng(1).normal(size=(3, features.n_features))
    raw = rankings.candidates[list(features.names)].to_numpy()
    np.testing.assert_allclose(features.raw_matrix(), raw, rtol=1e-12)
    gap = features.raw_theta(theta) @ raw.T - features.scores(theta)
    constant = features.raw_theta(theta) @ features.offset
    np.testing.assert_allclose(gap, np.tile(constant[:, None], gap.shape[1]), rtol=1e-10)


def test_theta_for_a_column_does_not_depend_on_the_columns_unit():
    """In thousandths the same column gives the same scores and a raw theta of a thousandth."""
    rankings = columns_panel()
    small = build_features(rankings)
    rankings.candidates["x_warm"] *= 1000
    large = build_features(rankings)
    theta = np.array([[0.7, -0.2]])
    np.testing.assert_allclose(large.scores(theta), small.scores(theta))
    np.testing.assert_allclose(large.raw_theta(theta)[0, 0] * 1000, small.raw_theta(theta)[0, 0])


@pytest.mark.parametrize("factor", [1e-150, 1e150, 1e307])
def test_extreme_columns_stay_finite(factor):
    rows = [("u", "p", "a", 1, -factor), ("u", "p", "b", 2, factor), ("u", "p", "c", 3, 0.0)]
    features = build_features(panel(rows, "user_id prompt response rank x_huge"))
    np.testing.assert_allclose(features.matrix, np.array([[-1], [1], [0]]) * np.sqrt(1.5))


def test_held_out_rankings_do_not_decide_the_unit():
    rows = [
        ("u", "p", "a", 1, 0.0, "train"),
        ("u", "p", "b", 2, 2.0, "train"),
        ("u", "q", "c", 1, 0.0, "test"),
        ("u", "q", "d", 2, 9.0, "test"),
    ]
    rankings = panel(rows, "user_id prompt response rank x_length split")
    features = build_features(rankings.fitted())
    np.testing.assert_allclose(features.scale, [1.0])
    assert features.matrix is not None
    assert len(features.matrix) == rankings.n_candidates == 4


# Items


def test_a_response_id_under_two_prompts_has_one_utility():
    features = build_features(items_panel(2, {"a": "A", "b": "B"}, n_prompts=2), "items")
    assert features.names == ("a", "b")
    np.testing.assert_array_equal(features.codes, [0, 1, 0, 1])
    theta = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(features.scores(theta), [[1, 2, 1, 2], [3, 4, 3, 4]])
    np.testing.assert_array_equal(features.score_gradient(np.ones((1, 4))), [[2, 2]])
    np.testing.assert_array_equal(features.scores(theta), theta @ features.raw_matrix().T)
    np.testing.assert_array_equal(features.raw_theta(theta), theta)


def test_a_long_response_as_id_is_cut_in_its_label_only():
    features = build_features(text_panel([["word " * 50, "b"]]), "items")
    assert features.names[0] == "word " * 50
    assert len(features.labels[0]) <= 60
    assert features.labels[0].endswith("…")


# The adjoint


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["items", "columns"]), st.integers(1, 4))
def test_score_gradient_is_the_adjoint_of_scores(seed, kind, n_types):
    """<scores(theta), g> = <theta, score_gradient(g)>, and scores agree with the definition."""
    features = build_features(columns_panel(n_users=2, seed=seed % 7), kind)
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(n_types, features.n_features))
    gradient = rng.normal(size=(n_types, 12))
    left = np.sum(features.scores(theta) * gradient)
    right = np.sum(theta * features.score_gradient(gradient))
    np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9)


# auto


def test_auto_takes_columns_first():
    features = build_features(columns_panel())
    assert features.kind == "columns"
    assert features.reason == "auto: the file has 3 x_* columns"


def test_auto_takes_items_where_each_is_judged_often():
    features = build_features(items_panel(30, {"a": "A", "b": "B"}))
    assert features.kind == "items"
    assert features.reason == "auto: 2 distinct responses, each judged 30 times on average"


@pytest.mark.parametrize(
    ("rankings", "why"),
    [
        (items_panel(29, {"a": "x", "b": "x y"}), "judged 29.0 times"),
        (items_panel(3, {"a": "x", "b": "x y"}, MAX_ITEM_PROMPTS + 1), "11 prompts"),
        (items_panel(1, {str(i): "x " * i for i in range(MAX_ITEMS + 1)}), "too many"),
    ],
    ids=["seldom judged", "many prompts", "many items"],
)
def test_auto_takes_text_where_items_are_unwise(rankings, why):
    features = build_features(rankings)
    assert features.kind == "text"
    assert why in features.reason


def position_panel() -> Rankings:
    """Return rankings whose ids A and B are places on the screen, with changing texts."""
    rows = [
        (f"u{user}", f"p{prompt}", place, "word " * (prompt + 1 + 2 * (place == "A")), 0)
        for user in range(30)
        for prompt in range(2)
        for place in "AB"
    ]
    return panel(rows, "user_id prompt response_id response rank")


def test_ids_that_carry_different_texts_are_no_items_unless_asked_for():
    assert "different texts" in build_features(position_panel()).reason
    asked = build_features(position_panel(), "items")
    assert asked.names == ("A", "B")
    assert "one utility for all" in asked.reason


def test_auto_falls_back_on_items_where_no_text_feature_varies():
    features = build_features(text_panel([["+", "="]]))
    assert features.kind == "items"
    assert "no feature of the text varies" in features.reason


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("columns", "features 'columns' need numeric columns named x_*: none here"),
        ("text", "features 'text': none varies within any ranking; try 'items'"),
        ("magic", "features must be auto, items, text or columns, got 'magic'"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_in_one_line(kind, message):
    with pytest.raises(EmdpoError) as error:
        build_features(text_panel([["+", "="]]), kind)
    assert str(error.value) == message


def test_no_rankings_at_all_are_refused():
    rankings = text_panel([["a", "b"]])
    with pytest.raises(EmdpoError, match="no rankings"):
        build_features(rankings.select(np.zeros(2, bool)))


REAL_KINDS = {
    "carconf": ("items", 6),
    "ccai": ("items", 275),
    "cems": ("items", 6),
    "chatbot_personalization": ("items", 11),
    "german_parties": ("items", 6),
    "gss_music": ("items", 18),
    "issp2000": ("items", 6),
    "jester5k": ("items", 100),
    "polis": ("items", 847),
    "ukpconvarg": ("text", None),
}


@pytest.mark.parametrize("name", REAL_KINDS)
def test_auto_on_real_judgements(name):
    """Everybody judges the same items in all files but the debates, which have 32 prompts."""
    file = DATA / f"{name}.parquet"
    if not file.exists():
        pytest.skip("the folder of real judgements is not here")
    table = pd.read_parquet(file)
    kind, n_features = REAL_KINDS[name]
    features = build_features(rankings_from_table(table))
    assert features.kind == kind
    assert n_features is None or features.n_features == n_features
    assert features.matrix is None or np.isfinite(features.matrix).all()


# Style: values counted by hand


def style(text: str, prompt: str = "") -> dict[str, float]:
    return style_of(text, content_words(prompt))


def test_lengths_by_hand():
    """Six words, 21 letters, two sentences, five of the words distinct."""
    counted = style("The cat sat. The dog barked!")
    assert counted["words_log"] == np.log(7)
    assert counted["sentence_length"] == np.log(4)
    assert counted["word_length"] == pytest.approx(np.log1p(21 / 6))
    assert counted["word_variety"] == pytest.approx(np.log(6) / np.log(7))


@pytest.mark.parametrize(
    ("feature", "text", "count"),
    [
        ("numbered_steps", "Do this:\n1. Open it\n 2) Close it\nStep 3: rest", 3),
        ("numbered_steps", "In 1990. we paid 1.50 for it", 0),
        ("bullet_points", "- one\n* two\n  • three\n-not one", 3),
        ("headings_bold", "# Title\n**bold** text", 2),
        ("line_breaks", "\none\n\ntwo\n", 2),
        ("line_breaks", "Steps:\n1. one\n2. two", 0),
        ("questions", "Why? How？", 2),
        ("exclamations", "Go! Now!!", 3),
        ("parentheses", "yes (no) and (maybe)", 2),
        ("quotations", 'He said "yes" and “no”', 2),
        ("code", "call `f` and `g`", 2),
        ("emoji", "fine 🙂 ☀", 2),
    ],
)
def test_marks_by_hand(feature, text, count):
    assert style(text)[feature] == np.log1p(count)


@pytest.mark.parametrize(
    ("feature", "text", "count"),
    [
        ("hedging", "Perhaps it might rain. It depends.", 3),
        ("certainty", "Of course it will certainly rain", 2),
        ("warmth", "I’m so sorry. You’ve got this, I am proud of you", 3),
        ("politeness", "Please feel free to ask, thanks", 3),
        ("caution", "Check with your doctor, it may be a risk", 3),
        ("examples", "Fruit, e.g. apples, or for example pears", 2),
        ("second_person", "You know your way", 2),
        ("first_person", "I think we know my way", 3),
        ("numbers", "1. Save 20 of 300", 2),
        ("contractions", "Don’t say it's Ann's, they'll know", 3),
    ],
)
def test_word_lists_count_per_hundred_words_of_at_least_twenty(feature, text, count):
    assert style(text)[feature] == pytest.approx(count * 100 / 20)


def test_a_longer_text_is_counted_per_its_own_words():
    assert style("perhaps " + "rain " * 49)["hedging"] == 2.0


@pytest.mark.parametrize(
    ("text", "opens"), [("1. Ask him", 1), ("Don't go", 1), ("I ask him", 0), ("42", 0), ("", 0)]
)
def test_imperative_opening(text, opens):
    assert style(text)["imperative_opening"] == opens


def test_prompt_overlap_is_the_share_of_content_words_of_the_prompt():
    """The prompt's content words are save, money; one of them comes back."""
    assert style("Money is not all", "How can I save money?")["prompt_overlap"] == 0.5
    assert style("Money is not all", "")["prompt_overlap"] == 0.0


def test_style_matrix_has_the_columns_of_the_style_features():
    matrix = style_matrix(["a b?", "c"], ["x", "c d"], np.array([0, 1]))
    names = [feature.name for feature in STYLE_FEATURES]
    assert matrix.shape == (2, len(names))
    assert matrix[0, names.index("questions")] == np.log(2)
    assert matrix[1, names.index("prompt_overlap")] == 0.5


def test_style_names_are_distinct_identifiers_and_have_two_phrases():
    names = [feature.name for feature in STYLE_FEATURES]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    assert all(like != dislike for like, dislike in STYLE_PHRASES.values())


# Topics

STANCES = ["budget saving cost", "comfort listening heart", "exercise running sleep"]


def stance_panel(n_prompts: int = 40) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Every prompt has its own subject words in all its answers, and one answer per stance."""
    rng = np.random.default_rng(0)
    letters = list("bcdfghklmnprstvz")
    responses = []
    for _ in range(n_prompts):
        subject = " ".join("".join(rng.choice(letters, 6)) for _ in range(6))
        responses += [f"{subject} {subject} {stance}" for stance in STANCES]
    stance = np.tile(np.arange(3), n_prompts)
    return responses, np.repeat(np.arange(n_prompts), 3), stance


def test_topics_describe_differences_between_answers_and_not_the_prompts():
    """Within prompts only the stances differ, so two topics span them and no third exists."""
    responses, prompt, stance = stance_panel()
    topics, words = topic_matrix(responses, prompt)
    assert topics.shape == (120, 2)
    assert {word for topic in words for word in topic} <= set(" ".join(STANCES).split())
    blocks = topics.reshape(-1, 3, 2)
    centred = (blocks - blocks.mean(axis=1, keepdims=True)).reshape(-1, 2)
    means = np.array([centred[stance == s].mean(axis=0) for s in range(3)])
    assert np.abs(centred - means[stance]).max() < 1e-3
    assert min(np.linalg.norm(means[a] - means[b]) for a, b in [(0, 1), (0, 2), (1, 2)]) > 0.1


def test_topics_come_by_falling_variance_and_rise_with_their_words():
    """Budget, said twice as loudly as the other stances, leads and scores highest on topic 1."""
    responses, prompt, stance = stance_panel()
    loud = [text.replace("budget", "budget budget budget") for text in responses]
    topics, words = topic_matrix(loud, prompt)
    blocks = topics.reshape(-1, 3, 2)
    variance = np.var(blocks - blocks.mean(axis=1, keepdims=True), axis=(0, 1))
    assert variance[0] > 1.1 * variance[1]
    assert words[0][0] == "budget"
    means = [topics[stance == s, 0].mean() for s in range(3)]
    assert means[0] > max(means[1:]) + 0.1


def test_topics_are_named_and_labelled():
    responses, prompt, _ = stance_panel()
    features = build_features(text_panel(np.reshape(responses, (-1, 3)).tolist()), "text")
    assert features.names[-2:] == ("topic_1", "topic_2")
    assert all(label.startswith("topic: ") for label in features.labels[-2:])


@pytest.mark.parametrize(
    "responses",
    [["alpha beta"] * 39, [""] * 50, ["the and of"] * 50, ["same words here"] * 50, ["字"] * 50],
    ids=["too few", "empty", "stop words", "identical", "one letter"],
)
def test_no_topics_where_there_is_nothing_to_go_by(responses):
    topics, words = topic_matrix(responses, np.zeros(len(responses), np.int64))
    assert topics.shape == (len(responses), 0)
    assert words == []


# Robustness


def test_the_same_texts_give_the_same_bytes():
    responses, prompt, _ = stance_panel()
    first, second = (text_features(responses, ["why"] * 40, prompt) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1:] == second[1:]


HOSTILE = {
    "empty": "",
    "dots": "." * 10**6 + "x",
    "one word": "a" * 10**6,
    "line breaks": "\n" * 10**6,
    "blanks": " \t" * 500_000 + "-",
    "apostrophes": "a'" * 500_000,
    "list": "\n1." * 300_000,
    "hashes": "#" * 10**6,
    "grows in lower case": "İ" * 10**6,
    "surrogate": "\ud800 broken",
    "right to left and nul": "\u202eشكرا\0 👩‍👩‍👧‍👧 e\u0301",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_measured_in_linear_time(text):
    start = time.perf_counter()
    values = np.array(list(style(text, text).values()))
    assert np.isfinite(values).all()
    assert time.perf_counter() - start < 10


@settings(deadline=None, max_examples=100)
@given(st.text(), st.text())
def test_style_of_any_unicode_is_finite_and_not_negative(text, prompt):
    values = np.array(list(style(text, prompt).values()))
    assert np.isfinite(values).all()
    assert (values >= 0).all()


@settings(deadline=None, max_examples=25)
@given(st.lists(st.text(max_size=20), min_size=2, max_size=60, unique=True))
def test_any_texts_give_features_or_one_clear_error(texts):
    rankings = text_panel([texts])
    assert build_features(rankings).kind in ("text", "items")
    try:
        features = build_features(rankings, "text")
    except EmdpoError:
        return
    assert np.isfinite(features.matrix).all()
    assert len(features.names) == len(features.labels) == features.n_features
    assert (features.scale > 0).all()


# Descriptions


def test_covariance_of_standardised_features_is_a_correlation():
    rankings = columns_panel()
    features = build_features(rankings)
    assert features.matrix is not None
    shown = features.matrix[rankings.candidate].reshape(-1, 3, 2)
    deviation = (shown - shown.mean(axis=1, keepdims=True)).reshape(-1, 2)
    expected = deviation.T @ deviation / len(deviation)
    np.testing.assert_allclose(np.diag(expected), 1.0)
    covariance = within_ranking_covariance(rankings, features.matrix)
    np.testing.assert_allclose(covariance, expected, atol=1e-12)
    np.testing.assert_allclose(features.correlation, expected, atol=1e-12)


def test_description_of_text_features_uses_their_phrases():
    rankings = text_panel([["Go now. Go on", "Should you go or should you stay here?"]])
    features = build_features(rankings, "text")
    theta = np.zeros(features.n_features)
    theta[features.names.index("questions")] = -2.0
    phrases = dict(describe_preferences(features, theta, top=features.n_features))
    assert phrases["dislikes questions asked back"] == pytest.approx(2.0)
    assert phrases["prefers shorter answers"] == pytest.approx(2.0)
    assert len(describe_preferences(features, theta, top=3)) == 3


def test_description_reports_what_collinear_features_do_together():
    """x_a and x_b = x_a: theta (1, -0.4) rewards both by 0.6, so neither is said to be disliked."""
    rows = [("u", "p", text, 1, x, x) for text, x in [("a", 0.0), ("b", 1.0), ("c", 3.0)]]
    features = build_features(panel(rows, "user_id prompt response rank x_a x_b"))
    said = describe_preferences(features, np.array([1.0, -0.4]))
    assert [phrase for phrase, _ in said] == ["prefers higher a", "prefers higher b"]
    np.testing.assert_allclose([strength for _, strength in said], 0.6)


def test_description_of_items_is_relative_to_their_mean():
    features = build_features(items_panel(1, {"tea": "T", "milk": "M", "gin": "G"}), "items")
    said = describe_preferences(features, np.array([5.0, 4.0, 0.0]))
    assert said == [("dislikes gin", 3.0), ("prefers tea", 2.0), ("prefers milk", 1.0)]


def test_nothing_is_said_of_a_type_without_preferences():
    features = build_features(columns_panel())
    assert describe_preferences(features, np.zeros(2)) == []
