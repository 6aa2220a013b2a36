"""Tokens: the base model's own, cut where they must be, written once and used again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import emdpo
from emdpo.adapters import tokens as module
from emdpo.adapters.base_model import load_base_model
from emdpo.adapters.tokens import cut_prompt, tokenise

FILES = ["prompts.arrow", "responses.arrow", "tokens.json"]


@pytest.fixture(scope="module")
def chat(tiny_models):
    return load_base_model(str(tiny_models["gemma2"]), device="cpu")


def rankings_of(prompts: dict[str, list[str]], **columns):
    """Return one ranking for each prompt over its responses."""
    rows = [
        {"user_id": "u", "prompt": prompt, "response": response, "rank": place}
        for prompt, responses in prompts.items()
        for place, response in enumerate(responses, 1)
    ]
    return emdpo.load(pd.DataFrame(rows).assign(**columns))


PLAIN = {"Which?": ["This one.", "That one, of course.", ""], "Why not?": ["No reason.", "日本語"]}


@pytest.mark.parametrize("kind", ["tiny_llama", "chat"])
def test_tokens_are_those_of_the_base_model(kind, request, tmp_path):
    base = request.getfixturevalue(kind)
    rankings = rankings_of(PLAIN)
    tokens = tokenise(rankings, base, tmp_path)
    assert tokens.n_truncated == 0
    for p, text in enumerate(rankings.prompts["prompt"]):
        assert tokens.prompt_ids(p).tolist() == base.prompt_ids(text)
        assert tokens.prompt_lengths[p] == len(base.prompt_ids(text))
    for a, text in enumerate(rankings.candidates["response"]):
        assert tokens.response_ids(a).tolist() == base.response_ids(text)
        assert tokens.response_lengths[a] == len(base.response_ids(text))
    assert tokens.candidate_prompt.tolist() == rankings.candidate_prompt.tolist()
    for array in (tokens.prompt_ids(0), tokens.response_ids(0), tokens.prompt_lengths):
        assert array.dtype == np.int64


def test_messages_are_given_to_the_chat_template(chat, tmp_path):
    messages = [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Which?"},
    ]
    table = pd.DataFrame(
        {"user_id": "u", "prompt": [messages] * 2, "response": ["This.", "That."], "rank": [1, 2]}
    )
    tokens = tokenise(emdpo.load(table), chat, tmp_path)
    assert tokens.prompt_ids(0).tolist() == chat.prompt_ids("", messages)


def test_codes_stay_positions_and_what_is_not_shown_has_no_tokens(tiny_llama, tmp_path):
    rankings = rankings_of(PLAIN)
    second = rankings.select(np.array([False, True]))
    tokens = tokenise(second, tiny_llama, tmp_path)
    assert tokens.prompt_lengths[0] == 0
    assert tokens.response_lengths[:3].tolist() == [0, 0, 0]
    assert len(tokens.response_ids(0)) == 0
    assert tokens.response_ids(3).tolist() == tiny_llama.response_ids("No reason.")
    assert tokens.prompt_ids(1).tolist() == tiny_llama.prompt_ids("Why not?")


def test_the_files_are_mapped_into_memory(tiny_llama, tmp_path):
    before = pa.total_allocated_bytes()
    tokens = tokenise(rankings_of({"Q": ["x " * 900, "y " * 900]}), tiny_llama, tmp_path)
    assert pa.total_allocated_bytes() - before < 1000
    assert tokens.responses.column_names == ["prompt", "input_ids", "truncated"]
    assert tokens.responses.cache_files == [{"filename": str(tmp_path / "responses.arrow")}]
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


def test_rows_of_several_batches_stay_in_order(tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)
    texts = [f"answer {number}" for number in range(20)]
    tokens = tokenise(rankings_of({"Q": texts}), tiny_llama, tmp_path)
    assert tokens.responses.data.column("input_ids").num_chunks > 1
    assert tokens.response_lengths.tolist() == [len(tiny_llama.response_ids(t)) for t in texts]
    for a, text in enumerate(texts):
        assert tokens.response_ids(a).tolist() == tiny_llama.response_ids(text)


def test_the_end_of_a_long_response_is_cut_first(tiny_llama, tmp_path):
    """A prompt of 12 tokens leaves 64 - 12 of 64; the end of the turn is cut with the rest."""
    prompt = "q" * 10  # with its start and its new line, 12 tokens
    tokens = tokenise(rankings_of({prompt: ["z" * 99, "a"]}), tiny_llama, tmp_path, max_length=64)
    assert tokens.prompt_lengths.tolist() == [12]
    assert tokens.response_ids(0).tolist() == tiny_llama.response_ids("z" * 99)[:52]
    assert tokens.response_ids(1).tolist() == tiny_llama.response_ids("a")
    assert tokens.n_truncated == 1


def test_a_long_prompt_keeps_its_start_token_and_its_end(tiny_llama, tmp_path):
    """Of 64 a long response is left 16, so that the prompt keeps 48: bos and its last 47."""
    prompt = "j" * 99
    tokens = tokenise(rankings_of({prompt: ["z" * 99, "a"]}), tiny_llama, tmp_path, max_length=64)
    whole = tiny_llama.prompt_ids(prompt)
    assert tokens.prompt_ids(0).tolist() == [whole[0], *whole[-47:]]
    assert tokens.response_ids(0).tolist() == tiny_llama.response_ids("z" * 99)[:16]
    assert tokens.n_truncated == 2


def test_short_responses_leave_a_long_prompt_more(tiny_llama, tmp_path):
    """The longest response is `zz` and the end: 3 of 64, so that the prompt keeps 61."""
    rankings = rankings_of({"j" * 99: ["zz", "a"]})
    tokens = tokenise(rankings, tiny_llama, tmp_path, max_length=64)
    assert tokens.prompt_lengths.tolist() == [61]
    assert tokens.response_ids(0).tolist() == tiny_llama.response_ids("zz")
    assert tokens.n_truncated == 1


def test_the_models_own_limit_holds(tiny_llama, tmp_path):
    tokens = tokenise(rankings_of({"q": ["z" * 999, "a"]}), tiny_llama, tmp_path, max_length=9999)
    assert tokens.prompt_lengths[0] + tokens.response_lengths[0] == tiny_llama.max_length


def test_too_small_a_length_is_refused(tiny_llama, tmp_path):
    with pytest.raises(ValueError, match="max_length must be at least 16 tokens, got 15"):
        tokenise(rankings_of(PLAIN), tiny_llama, tmp_path, max_length=15)


TEXTS = st.text(st.characters(codec="utf-8", min_codepoint=1), min_size=1, max_size=60).filter(
    str.strip
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(TEXTS, st.lists(TEXTS, min_size=2, max_size=3, unique=True), min_size=1),
    st.integers(16, 120),
)
def test_any_texts_fit_and_keep_what_matters(tiny_llama, tmp_path_factory, prompts, max_length):
    """Together within the limit, never empty, responses from their start, prompts to their end."""
    rankings = rankings_of(prompts)
    folder = tmp_path_factory.mktemp("tokens")
    tokens = tokenise(rankings, tiny_llama, folder, max_length=max_length)
    n_cut = 0
    for p, text in enumerate(rankings.prompts["prompt"]):
        whole, kept = tiny_llama.prompt_ids(text), tokens.prompt_ids(p).tolist()
        assert kept[0] == whole[0]
        assert kept[1:] == whole[len(whole) - len(kept) + 1 :]
        n_cut += len(kept) < len(whole)
    for a, text in enumerate(rankings.candidates["response"]):
        whole, kept = tiny_llama.response_ids(text), tokens.response_ids(a).tolist()
        assert kept == whole[: len(kept)]
        assert len(kept) >= min(len(whole), max_length // 4)
        n_cut += len(kept) < len(whole)
    total = tokens.prompt_lengths[tokens.candidate_prompt] + tokens.response_lengths
    assert total.max() <= max_length
    assert tokens.n_truncated == n_cut


@given(st.lists(st.integers(5, 9), min_size=1, max_size=30), st.integers(1, 30), st.booleans())
def test_a_cut_prompt_has_the_length_asked_for(ids, keep, starts):
    ids = [1, *ids] if starts else ids
    kept = cut_prompt(ids, keep, 1)
    assert len(kept) == min(keep, len(ids))
    assert kept[0] == (1 if starts else ids[-len(kept)])
    assert kept[1:] == ids[len(ids) - len(kept) + 1 :]


@pytest.fixture
def counted(tiny_llama, monkeypatch):
    """Return a list that grows by every response made into tokens."""
    calls = []
    honest = type(tiny_llama).response_ids

    def response_ids(self, response):
        calls.append(response)
        return honest(self, response)

    monkeypatch.setattr(type(tiny_llama), "response_ids", response_ids)
    return calls


def test_what_is_there_is_used_again(tiny_llama, tmp_path, counted):
    rankings = rankings_of(PLAIN)
    first = tokenise(rankings, tiny_llama, tmp_path)
    times = [(tmp_path / name).stat().st_mtime_ns for name in FILES]
    again = tokenise(rankings, tiny_llama, tmp_path)
    assert len(counted) == rankings.n_candidates
    assert times == [(tmp_path / name).stat().st_mtime_ns for name in FILES]
    assert again.response_ids(1).tolist() == first.response_ids(1).tolist()


@pytest.mark.parametrize("change", ["response", "prompt", "shown", "length", "base"])
def test_other_content_is_made_anew(tiny_llama, tmp_path, counted, change):
    rankings, base, length = rankings_of(PLAIN), tiny_llama, 100
    tokenise(rankings, base, tmp_path, max_length=length)
    n_before = len(counted)
    if change == "response":
        rankings = rankings_of(PLAIN | {"Why not?": ["No reason!", "日本語"]})
    elif change == "prompt":
        rankings = rankings_of({"Which": PLAIN["Which?"], "Why not?": PLAIN["Why not?"]})
    elif change == "shown":
        rankings = rankings.select(np.array([True, False]))
    elif change == "length":
        length = 99
    else:
        base = replace(base, fingerprint="another")
    tokens = tokenise(rankings, base, tmp_path, max_length=length)
    assert len(counted) > n_before
    shown = tokens.response_lengths > 0
    assert shown.all() == (change != "shown")
    for a in np.flatnonzero(shown):
        text = rankings.candidates["response"][a]
        assert tokens.response_ids(a).tolist() == base.response_ids(text)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_damaged_files_are_made_anew(tiny_llama, tmp_path, name, damage):
    rankings = rankings_of(PLAIN)
    whole = {}
    tokenise(rankings, tiny_llama, tmp_path)
    whole = {file: (tmp_path / file).read_bytes() for file in FILES}
    if damage == "gone":
        (tmp_path / name).unlink()
    elif damage == "cut":
        (tmp_path / name).write_bytes(whole[name][:-30])
    else:
        (tmp_path / name).write_bytes(whole[name][:-30] + b"1" * 30)
    tokenise(rankings, tiny_llama, tmp_path)
    assert {file: (tmp_path / file).read_bytes() for file in FILES} == whole


def test_the_same_texts_give_the_same_bytes(tiny_llama, tmp_path):
    for name in ("a", "b"):
        tokenise(rankings_of(PLAIN), tiny_llama, tmp_path / name)
    for file in FILES:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("asked", range(1, 5))
def test_it_stops_when_asked_and_leaves_nothing_that_looks_whole(
    tiny_llama, tmp_path, monkeypatch, asked
):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    tokenise(rankings_of({"Q": ["of other", "texts"]}), tiny_llama, tmp_path)
    answers = iter([False] * (asked - 1) + [True] * 9)
    rankings = rankings_of(PLAIN)
    assert tokenise(rankings, tiny_llama, tmp_path, should_stop=lambda: next(answers)) is None
    assert "tokens.json" not in {path.name for path in tmp_path.iterdir()}
    assert not list(tmp_path.glob("*.tmp"))
    assert tokenise(rankings, tiny_llama, tmp_path).response_ids(4).tolist() == (
        tiny_llama.response_ids("日本語")
    )


def test_a_crash_at_any_file_is_seen(tiny_llama, tmp_path, monkeypatch):
    """Files of two different texts never pass as one: the manifest goes first and comes last."""
    tokenise(rankings_of({"Q": ["of other", "texts"]}), tiny_llama, tmp_path)
    rankings = rankings_of(PLAIN)
    rename = Path.replace
    for crash_at in range(3):
        renamed = []

        def replace_or_crash(self, target, renamed=renamed, crash_at=crash_at):
            if len(renamed) == crash_at:
                raise KeyboardInterrupt
            renamed.append(target)
            return rename(self, target)

        with monkeypatch.context() as during:
            during.setattr(Path, "replace", replace_or_crash)
            with pytest.raises(KeyboardInterrupt):
                tokenise(rankings, tiny_llama, tmp_path)
        assert not (tmp_path / "tokens.json").exists()
    tokens = tokenise(rankings, tiny_llama, tmp_path)
    assert len(tokens.responses) == rankings.n_candidates


def test_nothing_is_written_elsewhere(tiny_llama, tmp_path, monkeypatch, capfd):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    tokenise(rankings_of(PLAIN), tiny_llama, tmp_path / "tokens")
    assert list(home.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert json.loads((tmp_path / "tokens" / "tokens.json").read_text())["content"]
