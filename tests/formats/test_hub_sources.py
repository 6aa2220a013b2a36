"""Data sets of the hub: the real `datasets` library on local folders laid out like the hub's."""

from __future__ import annotations

import builtins

import pytest
import stand_ins as data

from emdpo import import_rankings
from emdpo.core.errors import EmdpoError
from emdpo.formats.sources import is_hub_id

pytest.importorskip("datasets", reason="loading from the hub needs the package datasets")

CARD = """---
configs:
{configs}---
"""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Return a function that lays out a data set where `datasets` looks first: the folder here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def lay_out(name, **configs):
        lines = ""
        for config, rows in configs.items():
            data.write_jsonl(tmp_path / name / f"{config}.jsonl", rows)
            lines += f"- config_name: {config}\n  data_files: {config}.jsonl\n"
        (tmp_path / name / "README.md").write_text(CARD.format(configs=lines))
        return name

    return lay_out


def test_prism_comes_with_its_people(hub):
    """The configurations are known: utterances, and survey for the people."""
    prism = hub(
        "HannahRoseKirk/prism-alignment",
        survey=data.PRISM_SURVEY,
        conversations=data.PRISM_CONVERSATIONS,
        utterances=data.PRISM_UTTERANCES,
    )
    found = import_rankings(prism)
    assert (found.format, found.rankings.n_rankings) == ("prism", 2)
    assert found.rankings.users.loc["user0", "gender"] == "Female"
    other = import_rankings(prism, format="prism-conversations")
    assert other.table["response"].tolist() == found.table["response"].tolist()


def test_collective_alignment_comes_with_its_people(hub):
    coval = hub(
        "openai/collective-alignment-1",
        comparisons=data.COVAL_COMPARISONS,
        annotators=data.COVAL_ANNOTATORS,
    )
    found = import_rankings(coval, format="coval-world")
    assert found.format == "coval-world" and found.rankings.n_users == 2
    assert found.rankings.users.loc["ann", "country_of_residence"] == "Kenya"


@pytest.mark.parametrize(
    ("name", "config", "rows"),
    [
        ("facebook/community-alignment-dataset", "default", data.COMMUNITY),
        ("berkeley-nest/Nectar", "default", data.NECTAR),
        ("openbmb/UltraFeedback", "default", data.ULTRAFEEDBACK),
        ("allenai/multipref", "default", data.MULTIPREF),
        ("nvidia/HelpSteer3", "preference", data.HELPSTEER3),
        ("OpenAssistant/oasst1", "default", data.OASST),
        ("somebody/pairs", "default", data.TRL),
        ("somebody/argilla-export", "default", data.ARGILLA_1),
    ],
)
def test_a_data_set_reads_as_its_file_does(hub, tmp_path, name, config, rows):
    file = import_rankings(data.write_jsonl(tmp_path / "file.jsonl", rows))
    found = import_rankings(hub(name, **{config: rows}))
    assert found.format == file.format
    assert found.table.to_dict("list") == file.table.to_dict("list")


def test_our_own_tables_may_stand_on_the_hub(hub):
    rows = [
        {"user_id": "ann", "prompt": "Tea?", "response": text, "rank": rank, "age": "30"}
        for text, rank in (("a", 2), ("b", 1), ("c", None))
    ]
    found = import_rankings(hub("somebody/rankings", default=rows))
    assert found.format == "canonical" and found.rankings.ranks.tolist() == [2, 1, 0]
    assert found.rankings.users.loc["ann", "age"] == "30"


def test_limit_and_row_numbers(hub):
    name = hub("somebody/pairs", default=[*data.TRL, data.pair("", "Tea?", "a", "b")])
    assert import_rankings(name, limit=3).rankings.n_users == 2
    with pytest.raises(EmdpoError, match=r"^somebody/pairs, row 4, column 'user_id': an empty id$"):
        import_rankings(name)


def test_what_cannot_be_loaded_says_so_in_one_line(hub):
    name = hub("somebody/pairs", default=data.TRL)
    for options in ({"config": "absent"}, {"split": "absent"}):
        with pytest.raises(EmdpoError, match=r"^somebody/pairs.*not loaded: .+") as caught:
            import_rankings(name, **options)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_without_network_a_missing_data_set_is_one_line(hub, monkeypatch):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EmdpoError, match=r"^nobody/nothing, split train: not loaded: .+"):
        import_rankings("nobody/nothing")


def test_without_the_package_the_way_out_is_told(monkeypatch):
    real = builtins.__import__

    def blocked(name, *rest, **named):
        if name == "datasets":
            raise ImportError("blocked")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(EmdpoError, match=r"needs the package datasets: pip install 'emdpo"):
        import_rankings("somebody/pairs")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("openbmb/UltraFeedback", True),
        ("a.b-c/d_e", True),
        ("one", False),
        ("a/b/c", False),
        ("../secret", False),
        ("https://x.org/a", False),
        ("folder/file.csv", False),
        ("folder/ballots.soi", False),
    ],
)
def test_what_a_hub_id_looks_like(text, is_one):
    assert is_hub_id(text) is is_one
