"""Strangers make a public server load no model of their choosing."""

from __future__ import annotations

import gradio as gr
import pytest
from adapter_runs import make_base
from panels import planted
from trainers import ByHand, install

import emdpo
from emdpo.bundles import pack
from emdpo.core.errors import EmdpoError
from emdpo.ui.fit_form import _base_model, config_of
from emdpo.ui.hosting import check_base_model, models_on_offer

NUMBERS = (2, "auto", 0.1, 1.0, 2, 200, 0)


@pytest.fixture
def public(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    monkeypatch.setenv("EMDPO_MODELS", "HuggingFaceTB/SmolLM2-360M-Instruct, /models/own")


def test_a_laptop_takes_any_model_that_its_owner_types(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.delenv("EMDPO_MODELS", raising=False)
    assert models_on_offer() == ["embedded"]
    assert isinstance(_base_model(), gr.Textbox)
    config = config_of(*NUMBERS, "adapters", " ./my-model ", 3, 0, 1e-3)
    assert config.base_model == "./my-model"
    assert config.adapters is not None
    assert (config.adapters.rounds, config.adapters.top_layers) == (3, None)
    half = config_of(*NUMBERS, "adapters", "embedded", 3, 0.5, 1e-3)
    assert half.adapters is not None and half.adapters.top_layers == 0.5
    with pytest.raises(EmdpoError, match="came as a file"):
        check_base_model("./my-model", from_file=True)


def test_a_public_space_takes_those_on_its_list(public):
    offered = ["embedded", "HuggingFaceTB/SmolLM2-360M-Instruct", "/models/own"]
    assert models_on_offer() == offered
    assert isinstance(_base_model(), gr.Dropdown)
    for name in offered:
        check_base_model(name, from_file=True)
        assert config_of(*NUMBERS, "adapters", name, 3, 4, 1e-3).base_model == name
    for name in ("/etc", "somebody/model", "embedded "):
        with pytest.raises(EmdpoError, match="needs a copy of your own"):
            check_base_model(name)
    with pytest.raises(EmdpoError, match="needs a copy of your own"):
        config_of(*NUMBERS, "adapters", "/etc", 3, 4, 1e-3)


def test_log_linear_fits_ask_for_no_model(public):
    assert config_of(*NUMBERS, "loglinear", "/etc").base_model is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({7: 51}, "at most 50"),
        ({7: None}, "rounds must be a number"),
        ({8: 2.5}, "depth must be a whole number"),
        ({8: -1}, "top_layers must be"),
        ({9: 0}, "learning_rate must be"),
    ],
)
def test_settings_of_adapters_out_of_range(change, words):
    values = [*NUMBERS, "adapters", "embedded", 6, 0, 1e-3]
    for place, value in change.items():
        values[place + 2] = value
    with pytest.raises(EmdpoError, match=words):
        config_of(*values)


def test_an_uploaded_run_answers_on_a_model_of_the_list_only(place, tmp_path, monkeypatch):
    """The run's own model is real and would load: it is the name that decides."""
    base = str(make_base(tmp_path / "base"))
    with pytest.MonkeyPatch.context() as patch:
        install(patch, ByHand())
        fit = emdpo.fit(planted(), 3, policy="adapters", base_model=base, restarts=1)
    run_id = place.add_bundle(pack(fit.save(tmp_path / "run"), tmp_path / "run.zip"), "mine.zip")
    for space in ("", "somebody/space"):
        monkeypatch.setenv("SPACE_ID", space)
        with pytest.raises(EmdpoError, match="came as a file and names the base model"):
            place.cast(run_id)
    monkeypatch.setenv("EMDPO_MODELS", base)
    assert place.cast(run_id).base_name == base
