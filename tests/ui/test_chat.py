"""The Chat tab's events, called as plain functions, on a tiny model."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

import gradio as gr
import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from adapter_runs import make_base, make_run

from emdpo.adapters.answers import Ending, Partial, Sampling
from emdpo.chosen import Chosen
from emdpo.core.errors import EmdpoError, RunError
from emdpo.jobs.folder import FIT, UPLOAD, new_id, write_about
from emdpo.ui import chat_events, chat_view
from emdpo.ui.app import build_app
from emdpo.ui.chat_events import ChatEvents, ChatTab, missing_chat, sampling_of
from emdpo.ui.talks import MOST_CHARACTERS, MOST_TURNS, Talk, Talks

HOSTILE = "<img src=x onerror=alert(1)>${alert(1)}$\\href{javascript:alert(1)}{x}$"
NAMES = ["base", "type-1", "type-2", "mixture", "consensus"]
SETTINGS = (8, 1.0, 0)


def add_run(place, folder, kind=FIT):
    """Take a copy of a run folder in as if it had been fitted or uploaded here."""
    run_id = new_id()
    shutil.copytree(folder, place.home / run_id)
    about = json.loads((folder / "fit.json").read_text())
    write_about(place.home / run_id, kind, "tiny", about["config"])
    return run_id


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("adapters")
    return make_run(home / "run", make_base(home / "base"))


@pytest.fixture(scope="module")
def run_id(place, run_folder):
    return add_run(place, run_folder)


@pytest.fixture(scope="module")
def events(place):
    with gr.Blocks():
        parts = {name: gr.State() for name in ChatTab.__dataclass_fields__}
        return ChatEvents(place, ChatTab(**parts))


@pytest.fixture
def tab(events):
    return events._tab


@pytest.fixture
def talk_id(events, tab, run_id):
    return events.show(run_id, None)[tab.talk_id]


def put(events, run_id, talk_id, question="Why?", names=NAMES, blind=False, settings=SETTINGS):
    return events.ask(run_id, talk_id, question, names, blind, *settings)


def answered(events, run_id, talk_id, **question):
    """Put a question and return the last of what is streamed."""
    assert "line-error" not in str(put(events, run_id, talk_id, **question)[events._tab.note].value)
    *_, last = events.stream(run_id, talk_id)
    return last


# Which runs can answer


def test_a_run_that_cannot_answer_says_why(place, demo_run, tab, events):
    assert "No fitted run yet" in missing_chat(place, "")
    assert "log-linear: they score answers" in missing_chat(place, demo_run[1])
    shown = events.show(demo_run[1], {})
    assert "log-linear" in shown[tab.note].value and not shown[tab.contents].visible
    assert shown[tab.offer].visible and shown[tab.talk_id] == ""  # the shipped run can answer


def test_without_the_libraries_the_tab_says_what_to_install(place, run_id, monkeypatch):
    monkeypatch.setattr(chat_events, "NEEDED", ("torch", "no_such_library"))
    told = missing_chat(place, run_id)
    assert "Chat needs no_such_library" in told and "emdpo[adapters]" in told


def test_an_uploaded_run_cannot_make_the_server_load_any_model(place, run_folder):
    told = missing_chat(place, add_run(place, run_folder, UPLOAD))
    assert "came as a file" in told and "emdpo chat" in told


def test_a_damaged_run_is_one_line_without_its_path(place, run_folder, tmp_path):
    copy = tmp_path / "damaged"
    shutil.copytree(run_folder, copy)
    about = json.loads((copy / "fit.json").read_text())
    (copy / "fit.json").write_text(json.dumps(about | {"weights": "x"}))
    told = missing_chat(place, add_run(place, copy))
    assert told.startswith("this run: damaged") and str(place.home) not in told


def test_the_shipped_run_is_offered_only_where_it_is(
    place, events, tab, run_folder, monkeypatch, demo_run
):
    monkeypatch.setattr("emdpo.demo.DEMO_RUN", run_folder / "nowhere")
    assert not events.show("", {})[tab.offer].visible
    monkeypatch.setattr("emdpo.demo.DEMO_RUN", run_folder)
    assert events.show("", {})[tab.offer].visible
    opened, note = events.open_demo_run()
    assert place.status(opened).name.startswith("demo") and not note.visible
    assert events.open_demo_run()[0] == opened


# Asking and answering


def test_every_policy_answers_and_names_itself(events, tab, run_id, talk_id):
    last = answered(events, run_id, talk_id)
    page = last[tab.last]
    assert page.count('class="card voice') == 5
    for label in ("Base model", "Type 1 (60%)", "Type 2 (40%)", "Min-max mixture"):
        assert label in page
    assert "Sounds like: Type" in page and "Made of: Type 1 30%, Type 2 70%" in page
    assert last[tab.ask].interactive and not last[tab.stop].interactive


def test_the_same_seed_gives_the_same_answers(events, tab, run_id, talk_id):
    pages = [answered(events, run_id, talk_id, blind=False, settings=(8, 1.0, 3))[tab.last]]
    fresh = events.start_anew(run_id, talk_id)[tab.talk_id]
    pages += [answered(events, run_id, fresh, settings=(8, 1.0, 3))[tab.last]]
    fresh = events.start_anew(run_id, fresh)[tab.talk_id]
    pages += [answered(events, run_id, fresh, settings=(8, 1.0, 4))[tab.last]]
    assert pages[0] == pages[1] != pages[2]


def test_a_conversation_that_was_left_says_no_more(place, events, tab, run_id, talk_id):
    """Its question and its answers may be on their way when the new one begins."""
    put(events, run_id, talk_id)
    growing = events.stream(run_id, talk_id)
    next(growing)
    assert events.start_anew(run_id, talk_id)[tab.last] == ""
    assert all(tab.last not in shown for shown in growing)
    assert place.talks.get(talk_id, run_id).last.partials[0].ending == "stopped"


def test_a_question_put_while_its_conversation_is_left_is_not_drawn(
    place, events, tab, run_id, talk_id, monkeypatch
):
    ask = Talk.ask

    def left_meanwhile(self, *args, **settings):
        turn = ask(self, *args, **settings)
        events.start_anew(run_id, talk_id)
        return turn

    monkeypatch.setattr(Talk, "ask", left_meanwhile)
    assert not {tab.last, tab.waiting} & set(put(events, run_id, talk_id))


def test_each_policy_remembers_its_own_answers(place, events, run_id, talk_id):
    answered(events, run_id, talk_id, question="First?")
    put(events, run_id, talk_id, question="Second?", names=["type-1", "base"])
    talk = place.talks.get(talk_id, run_id)
    base, type_1 = talk.histories(talk.last)
    answer = talk.turns[0].partials[1].text
    assert [m["content"] for m in type_1] == ["First?", answer, "Second?"]
    assert [m["role"] for m in base] == ["user", "assistant", "user"]
    *_, _ = events.stream(run_id, talk_id)
    assert talk.last.over


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"question": "  "}, "type a question first"),
        ({"question": "x" * (MOST_CHARACTERS + 1)}, "at most 2,000 characters"),
        ({"names": []}, "at least one policy"),
        ({"names": ["type-9"]}, "no policy &#x27;type-9&#x27;"),
        ({"settings": (None, 1.0, 0)}, "length must be a number"),
        ({"settings": (8, "hot", 0)}, "temperature must be a number"),
        ({"settings": (8, 1.0, 0.5)}, "seed must be a whole number"),
        ({"settings": (1000, 1.0, 0)}, "at most 400 tokens"),
        ({"settings": (8, 3.0, 0)}, "temperature must be in"),
    ],
)
def test_a_bad_question_is_one_line_and_changes_nothing(
    place, events, tab, run_id, talk_id, question, message
):
    shown = put(events, run_id, talk_id, **question)
    assert message in shown[tab.note].value and list(shown) == [tab.note]
    assert place.talks.get(talk_id, run_id).turns == []
    assert list(events.stream(run_id, talk_id)) == [{tab.note: gr.skip()}]


def test_settings_that_are_no_numbers_are_refused():
    assert sampling_of(16.0, 0, 1) == Sampling(16, 0.0, 1)
    with pytest.raises(EmdpoError, match="must be a number"):
        sampling_of(True, 0.5, 0)
    with pytest.raises(EmdpoError, match="whole number"):
        sampling_of(float("inf"), 0.5, 0)


def test_a_second_question_waits_for_the_first(events, tab, run_id, talk_id):
    put(events, run_id, talk_id)
    assert "still being answered" in put(events, run_id, talk_id)[tab.note].value
    assert "still being answered" in put(events, run_id, talk_id)[tab.note].value


def test_a_conversation_has_an_end(place, events, tab, run_id, talk_id):
    for _ in range(MOST_TURNS):
        answered(events, run_id, talk_id, names=["base"], settings=(1, 0.0, 0))
    assert "start a new conversation" in put(events, run_id, talk_id)[tab.note].value


def test_an_error_while_answering_is_told_and_the_next_question_works(
    place, events, tab, run_id, talk_id, monkeypatch
):
    def fails(*_):
        raise RunError("the model is out of order")
        yield

    with monkeypatch.context() as patched:
        patched.setattr(place.models, "answers", fails)
        last = answered(events, run_id, talk_id)
    assert "out of order" in last[tab.last] and last[tab.ask].interactive
    assert answered(events, run_id, talk_id)[tab.ask].interactive


def test_stop_ends_the_answers_and_frees_the_model(place, events, tab, run_id, talk_id):
    put(events, run_id, talk_id, settings=(400, 1.0, 0))
    growing = events.stream(run_id, talk_id)
    next(growing)
    events.stop(run_id, talk_id)
    *_, last = growing
    assert "stopped" in last[tab.last]
    assert answered(events, run_id, talk_id)[tab.ask].interactive


def test_a_question_that_still_waits_is_stopped_at_once(place, events, tab, run_id, talk_id):
    put(events, run_id, talk_id)
    shown = events.stop(run_id, talk_id)
    assert "stopped" in shown[tab.last] and shown[tab.ask].interactive
    (after,) = events.stream(run_id, talk_id)
    assert after[tab.last] == shown[tab.last]


def test_a_page_that_goes_away_frees_the_model_and_keeps_what_was_said(
    place, events, tab, run_id, talk_id
):
    put(events, run_id, talk_id, settings=(400, 1.0, 0))
    growing = events.stream(run_id, talk_id)
    talk = place.talks.get(talk_id, run_id)
    while not talk.last.partials[0].text:
        next(growing)
    growing.close()
    assert talk.last.over and talk.last.partials[0].ending is Ending.STOPPED
    assert talk.last.partials[0].text and not place.models._lock.locked()
    again = events.show(run_id, {"talk": talk_id})
    assert again[tab.talk_id] == talk_id and "stopped" in again[tab.last]


def test_a_question_whose_page_went_away_before_its_turn_is_answered_on_the_next(
    events, tab, run_id, talk_id
):
    put(events, run_id, talk_id)
    again = events.show(run_id, {"talk": talk_id})
    assert isinstance(again[tab.waiting], str) and not again[tab.ask].interactive
    *_, last = events.stream(run_id, talk_id)
    assert "Sounds like" in last[tab.last] and last[tab.ask].interactive
    assert events.show(run_id, {"talk": talk_id})[tab.waiting] == gr.skip()


def test_two_visitors_do_not_mix(place, events, tab, run_id):
    """Both ask at once, in threads of their own; each gets what he gets alone."""
    ids = [events.start_anew(run_id, "")[tab.talk_id] for _ in range(2)]
    pages = {}

    def visit(talk_id, question):
        pages[talk_id] = answered(events, run_id, talk_id, question=question)[tab.last]

    questions = dict(zip(ids, ("What is love?", "Who am I, really?"), strict=True))
    threads = [threading.Thread(target=visit, args=item) for item in questions.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for talk_id, question in questions.items():
        alone = events.start_anew(run_id, "")[tab.talk_id]
        assert pages[talk_id] == answered(events, run_id, alone, question=question)[tab.last]
    assert pages[ids[0]] != pages[ids[1]]


def test_a_conversation_is_known_by_its_id_and_run_only(place, events, tab, run_id, talk_id):
    answered(events, run_id, talk_id)
    for known in (None, {"talk": 7}, {"talk": "a" * 22}, {"talk": "../x"}, "text"):
        shown = events.show(run_id, known)
        assert shown[tab.talk_id] != talk_id and shown[tab.last] == ""
    assert place.talks.get(talk_id, "a" * 22) is None


def test_the_longest_unused_conversation_is_forgotten(place, run_id):
    talks, cast = Talks(2), place.cast(run_id)
    first, second = (talks.start(run_id, cast).talk_id for _ in range(2))
    assert talks.get(first, run_id) is not None
    talks.start(run_id, cast)
    assert talks.get(second, run_id) is None and talks.get(first, run_id) is not None


def test_the_model_is_swapped_between_runs_and_gets_warm(place, events, run_id, run_folder, tab):
    other = add_run(place, run_folder)
    mine = events.show(other, None)[tab.talk_id]
    first = answered(events, other, mine)[tab.last]
    events.warm(run_id)
    limit = time.monotonic() + 20
    while place.models._lock.locked() and time.monotonic() < limit:
        time.sleep(0.02)
    assert place.models._held.cast.run.name == run_id
    again = events.start_anew(run_id, "")[tab.talk_id]
    assert answered(events, run_id, again)[tab.last] == first


def test_a_policy_saved_during_a_conversation_answers_the_next_question(
    place, events, tab, run_folder
):
    """The model stays loaded; what was said before keeps the weights that it was said with."""
    own = add_run(place, run_folder)
    talk_id = events.show(own, None)[tab.talk_id]
    answered(events, own, talk_id, names=["type-1", "consensus"])
    adapted = place.models._held.adapted
    assert place.choose(own, Chosen("consensus", (0.3, 0.7), HOSTILE[:50])) == own
    names = events.renew(own, talk_id, ["type-1"])[tab.names]
    assert names.value == ["type-1", "given"]
    assert (f"Given weights: {HOSTILE[:50]}", "given") in [tuple(each) for each in names.choices]
    page = answered(events, own, talk_id, question="And now?", names=["given", "consensus"])
    assert "Made of: Type 1 30%, Type 2 70%" in page[tab.last] and "<img" not in page[tab.last]
    assert place.models._held.adapted is adapted
    place.choose(own, Chosen("mixture", (1.0, 0.0)))
    events.renew(own, talk_id, names.value)
    answered(events, own, talk_id, question="And then?", names=["given"])
    talk = place.talks.get(talk_id, own)
    told = [row for row in talk.rows() if row["policy"] == "given"]
    assert [row["weights"] for row in told] == [(0.3, 0.7), (1.0, 0.0)]
    (history,) = talk.histories(talk.last)
    assert [message["content"] for message in history] == ["And then?"]  # it is another policy


def test_a_conversation_that_comes_back_knows_what_was_saved_meanwhile(
    place, events, tab, run_folder
):
    own = add_run(place, run_folder)
    talk_id = events.show(own, None)[tab.talk_id]
    assert events.renew(own, "a" * 22, []) == {tab.names: gr.skip()}
    place.choose(own, Chosen("mixture", (0.5, 0.5)))
    assert "given" in events.show(own, {"talk": talk_id})[tab.names].value


def test_the_shipped_run_is_everybody_s_so_a_visitor_who_saves_gets_a_copy(
    place, run_folder, monkeypatch, tmp_path
):
    copy = tmp_path / "shipped"
    shutil.copytree(run_folder, copy)
    monkeypatch.setattr("emdpo.demo.DEMO_RUN", copy)
    shared = place._copy_demo_run()
    mine = place.choose(shared, Chosen("mixture", (0.5, 0.5)))
    assert mine != shared and place.choose(mine, Chosen("mixture", (0.4, 0.6))) == mine
    assert place.chosen_version(shared) == "" != place.chosen_version(mine)
    assert "copy" in place.status(mine).name


# What is shown


def test_whatever_is_typed_or_generated_stays_text(place, run_id):
    talk = Talk(new_id(), run_id, place.cast(run_id))
    turn = talk.ask(HOSTILE, NAMES, Sampling(), blind=False)
    turn.partials = [Partial(HOSTILE, 3, None, Ending.SAID)] * 5
    turn.end(HOSTILE)
    page = chat_view.last_html(talk)
    assert page.count("&lt;img src=x") == 7 and "<img" not in page
    assert "${" not in page and "$\\" not in page


def test_why_answers_differ_is_said_against_the_base(place, run_id):
    talk = Talk(new_id(), run_id, place.cast(run_id))
    turn = talk.ask("Why?", ["base", "type-1"], Sampling(), blind=False)
    long = "one two three four five six seven eight nine ten"
    turn.partials = [Partial(f"{long} {long}", 9, None, Ending.SAID)] * 2
    turn.partials[1] = Partial(long, 9, None, Ending.SAID)
    turn.end()
    page = chat_view.last_html(talk)
    assert "<b>Type 1</b> 50% shorter" in page and "one draw" in page


def blind_turn(place, events, run_id, talk_id, **question):
    answered(events, run_id, talk_id, blind=True, **question)
    return place.talks.get(talk_id, run_id).last


def test_a_blind_turn_names_nobody_until_one_is_picked(place, events, tab, run_id, talk_id):
    last = answered(events, run_id, talk_id, blind=True)
    page = last[tab.last]
    assert "Answer A" in page and "Answer E" in page
    for label in ("Type 1", "Base model", "Sounds like", "#0072B2"):
        assert label not in page
    assert last[tab.judging].visible and last[tab.liked].choices[0] == ("A", "A")
    assert "pick the answer" in events.judge(run_id, talk_id, None, None)[tab.note].value
    liked = place.talks.get(talk_id, run_id).last.names[1]
    shown = events.judge(run_id, talk_id, "B", liked)
    assert "and guessed so" in shown[tab.last] and "your pick" in shown[tab.last]
    assert not shown[tab.judging].visible and shown[tab.picks].interactive
    assert "nothing to pick" in events.judge(run_id, talk_id, "A", None)[tab.note].value


def test_blind_questions_stand_alone(place, events, run_id, talk_id):
    answered(events, run_id, talk_id)
    turn = blind_turn(place, events, run_id, talk_id)
    talk = place.talks.get(talk_id, run_id)
    assert all(len(history) == 1 for history in talk.histories(turn))
    talk.pick("A", None)
    put(events, run_id, talk_id, names=["base"])
    assert len(talk.histories(talk.last)[0]) == 3


def test_picks_are_rankings_that_emdpo_reads(place, events, run_id, talk_id, tmp_path):
    import emdpo

    for question in ("Why?", "Why?", "How?"):
        blind_turn(place, events, run_id, talk_id, question=question)
        shown = events.judge(run_id, talk_id, "C", None)
    path = tmp_path / "picks.jsonl"
    shutil.copy(shown[events._tab.picks].value["path"], path)
    rankings = emdpo.load(path)
    assert rankings.n_users == 1 and rankings.n_rankings == 3 and rankings.n_prompts == 2
    assert rankings.lengths.tolist() == [5, 5, 5]
    assert (rankings.ranks == 1).sum() == 3 and (rankings.ranks == 0).sum() == 12


def test_the_conversation_can_be_taken_away(place, events, run_id, talk_id, tab):
    shown = answered(events, run_id, talk_id, question="Why?")
    lines = Path(shown[tab.conversation].value["path"]).read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["policy"] for row in rows] == NAMES
    assert {row["prompt"] for row in rows} == {"Why?"} and rows[0]["max_tokens"] == 8
    assert rows[3]["posterior"] and rows[3]["weights"] == [0.5, 0.5]


def test_a_blind_turn_is_not_given_away_by_the_download(place, events, run_id, talk_id, tab):
    shown = answered(events, run_id, talk_id, blind=True)
    assert not shown[tab.conversation].interactive


def test_many_types_do_not_all_answer_at_first(place, events, tab, run_id, monkeypatch):
    from dataclasses import replace

    from emdpo.adapters.answers import type_speaker

    cast = place.cast(run_id)
    more = {f"type-{k + 1}": type_speaker(k) for k in range(2, 9)}
    speakers = {"base": cast.speakers["base"], **more, **cast.speakers}
    monkeypatch.setattr(
        place, "cast", lambda _: replace(cast, speakers=speakers, shares=(0.1,) * 10)
    )
    names = events.show(run_id, None)[tab.names]
    assert len(names.choices) > 7 and len(names.value) == 7 and "consensus" in names.value


def test_everything_that_touches_the_model_waits_in_one_line(place):
    app = build_app(place)
    shared = [fn for fn in app.fns.values() if fn.concurrency_id == "model"]
    # fn: the partial by which models write the answers of a room.
    assert {fn.name for fn in shared} == {"stream", "chat", "fn"}
    assert all(fn.concurrency_limit == 1 for fn in shared)


# A program


@pytest.fixture(scope="module")
def client(place):
    gradio_client = pytest.importorskip("gradio_client")
    from emdpo.ui.app import launch_settings

    app = build_app(place)
    _, address, _ = app.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_settings(place)
    )
    yield gradio_client.Client(address, verbose=False)
    app.close()


def test_a_program_asks_and_reads_the_answers_as_they_grow(client, run_id):
    job = client.submit(run_id, "Why?", ["type-1", "mixture"], 12, 1.0, 5, api_name="/chat")
    last = job.result(timeout=60)
    assert [row["policy"] for row in last] == ["type-1", "mixture"]
    assert all(row["ending"] for row in last) and last[1]["posterior"]
    assert len(job.outputs()) > 1
    again = client.predict(run_id, "Why?", ["type-1"], 12, 1.0, 5, api_name="/chat")
    assert again[0]["answer"] == last[0]["answer"]
    everybody = client.predict(run_id, "Why?", max_tokens=2, api_name="/chat")
    assert [row["policy"] for row in everybody] == NAMES


def test_a_program_is_told_what_is_wrong_in_one_line(client, run_id, demo_run):
    for arguments, message in (
        ((demo_run[1], "Why?"), "log-linear"),
        ((run_id, " "), "type a question first"),
        ((run_id, "Why?", ["type-9"]), "no policy 'type-9'"),
        ((run_id, "Why?", None, 10**6), "at most 400 tokens|max_tokens must be"),
    ):
        with pytest.raises(Exception, match=message):
            client.predict(*arguments, api_name="/chat")
