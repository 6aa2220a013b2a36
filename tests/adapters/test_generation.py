"""Sampling from blends against brute force, and one batched pass against one model at a time."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from emdpo.adapters.answers import (
    BASE,
    Blend,
    Ending,
    Sampling,
    Speaker,
    base_speaker,
    blend_speaker,
    type_speaker,
)
from emdpo.adapters.base_model import BaseModel, load_base_model
from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.generation import (
    Chorus,
    answers,
    consensus_step,
    draw,
    mixture_step,
    posterior_step,
    whole_text,
)
from emdpo.adapters.lora import attach, load_adapters
from emdpo.core.errors import EmdpoError, ModelError

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
WEIGHTS = (0.5, 0.3, 0.2)
TYPES = ("type-1", "type-2", "type-3")


def strong(adapted, size=0.3):
    """Give every adapter an update of its own that changes the policy clearly."""
    for index, name in enumerate(adapted.names):
        generator = torch.Generator().manual_seed(100 + index)
        tensors = adapted.tensors(name)
        for key, tensor in tensors.items():
            if ".lora_B." in key:
                tensor.normal_(0.0, size, generator=generator)
        adapted.load_tensors(name, tensors)
    return adapted


@pytest.fixture(scope="module", params=["llama", "qwen2", "gpt2", "gemma2"])
def adapted(tiny_models, request):
    """A tiny model of each kind with three adapters."""
    base = load_base_model(str(tiny_models[request.param]), device="cpu")
    return strong(attach(base, TYPES, AdapterConfig(rank=2)))


@pytest.fixture(scope="module")
def llama(tiny_models):
    base = load_base_model(str(tiny_models["llama"]), device="cpu")
    return strong(attach(base, TYPES, AdapterConfig(rank=2)))


def everybody():
    return [
        base_speaker(),
        *(type_speaker(k) for k in range(3)),
        blend_speaker(Blend.MIXTURE, WEIGHTS),
        blend_speaker(Blend.CONSENSUS, WEIGHTS),
    ]


def finished(adapted, speakers, histories=None, **settings):
    """Return the last of what `answers` yields."""
    histories = histories or [QUESTION] * len(speakers)
    sampling = Sampling(**{"max_tokens": 12, "temperature": 1.0, "seed": 5} | settings)
    *_, last = answers(adapted, histories, speakers, sampling)
    return last


# The numerical core


def random_policies(rng, n_types, n_tokens, length):
    """Return log pi_j(next | prefix) as a function of the prefix: tables drawn once."""
    tables = {
        prefix: torch.log_softmax(torch.tensor(rng.normal(size=(n_types, n_tokens)) * 2), dim=1)
        for size in range(length)
        for prefix in itertools.product(range(n_tokens), repeat=size)
    }
    return tables.__getitem__


def blended(policies, weights, sequence, step):
    """Return the log probability of a sequence when drawn token by token."""
    log_posterior, total = weights.log(), 0.0
    for position, token in enumerate(sequence):
        log_policies = policies(tuple(sequence[:position]))
        total += float(step(log_policies, log_posterior)[token])
        log_posterior = posterior_step(log_posterior, log_policies[:, token])
    return total


def test_token_by_token_the_mixture_of_whole_sequences_comes_out():
    """For every sequence: prod_t sum_j a_j(prefix) pi_j(token) = sum_j a_j prod_t pi_j(token)."""
    n_tokens, length, weights = 4, 4, torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    policies = random_policies(np.random.default_rng(0), 3, n_tokens, length)
    total = 0.0
    for sequence in itertools.product(range(n_tokens), repeat=length):
        logs = [policies(sequence[:t])[:, sequence[t]] for t in range(length)]
        expected = float(weights @ torch.stack(logs).sum(dim=0).exp())
        found = math.exp(blended(policies, weights, sequence, mixture_step))
        assert found == pytest.approx(expected, rel=1e-12)
        total += found
    assert total == pytest.approx(1.0)


def test_the_posterior_is_bayes_rule_over_the_whole_prefix():
    weights = torch.tensor([0.5, 0.5], dtype=torch.float64)
    policies = random_policies(np.random.default_rng(1), 2, 3, 3)
    log_posterior, joint = weights.log(), weights.log()
    for t, token in enumerate(sequence := (2, 0, 1)):
        log_said = policies(sequence[:t])[:, token]
        log_posterior, joint = posterior_step(log_posterior, log_said), joint + log_said
    torch.testing.assert_close(log_posterior, joint - torch.logsumexp(joint, 0))


def test_the_posterior_survives_a_voice_that_would_never_say_it():
    after = posterior_step(torch.tensor([0.5, 0.5]).log(), torch.tensor([-math.inf, -1.0]))
    assert after.exp().tolist() == [0.0, 1.0]


def test_consensus_by_hand():
    """sqrt([.8 .2] * [.2 .8]) is even; a weight of 3/4 gives 4^(1/2) : 1 = 2 : 1."""
    log_policies = torch.tensor([[0.8, 0.2], [0.2, 0.8]], dtype=torch.float64).log()
    even = consensus_step(log_policies, torch.tensor([0.5, 0.5], dtype=torch.float64))
    leaning = consensus_step(log_policies, torch.tensor([0.75, 0.25], dtype=torch.float64))
    assert even.exp().tolist() == pytest.approx([0.5, 0.5])
    assert leaning.exp().tolist() == pytest.approx([2 / 3, 1 / 3])


def test_a_draw_has_the_frequencies_of_its_policy():
    """20,000 draws: three standard errors of a share of 0.5 are 0.011."""
    log_policy = torch.tensor([0.1, 0.5, 0.0, 0.4], dtype=torch.float64).log()
    generator = torch.Generator().manual_seed(0)
    drawn = [draw(log_policy, generator) for _ in range(20_000)]
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    assert shares == pytest.approx([0.1, 0.5, 0.0, 0.4], abs=0.011)
    assert shares[2] == 0 and draw(log_policy, None) == 1


# The model


@dataclass
class Letters:
    """A tokenizer of the letters a to e, for brute force; e ends a text."""

    chat_template: None = None
    bos_token_id: int = 0
    eos_token_id: int = 4
    model_max_length: int = 64
    added_tokens_decoder: dict = field(default_factory=dict)

    def decode(self, tokens, **_):
        return "".join("abcde"[token] for token in tokens)

    def __call__(self, texts, **_):
        return {"input_ids": [["abcde".index(c) for c in text.strip()] for text in texts]}


@pytest.fixture(scope="module")
def five_tokens():
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    config = LlamaConfig(vocab_size=5, initializer_range=0.6, **sizes, **heads)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = LlamaForCausalLM(config).requires_grad_(False).eval()
    base = BaseModel(model, Letters(), "letters", "0")
    return strong(attach(base, TYPES[:2], AdapterConfig(rank=2)), size=0.8)


def sequence_log_policies(adapted, prompt, sequence):
    """Return log pi(sequence | prompt) of each adapter, one at a time and without a cache."""
    found = []
    for name in adapted.names:
        with adapted.speaking(name), torch.inference_mode():
            logits = adapted.model(torch.tensor([[*prompt, *sequence]])).logits[0]
        steps = torch.log_softmax(logits.double(), dim=1)[len(prompt) - 1 : -1]
        found.append(steps[torch.arange(len(sequence)), torch.tensor(sequence)].sum())
    return torch.stack(found)


def test_a_models_mixture_is_the_mixture_over_all_its_sequences(five_tokens):
    """All 125 sequences of three tokens, through the cached, batched rows."""
    prompt, weights = [0, 1, 2], torch.tensor([0.7, 0.3], dtype=torch.float64)
    total = 0.0
    for sequence in itertools.product(range(5), repeat=3):
        chorus = Chorus(five_tokens, [prompt] * 2, TYPES[:2])
        log_posterior, found = weights.log(), 0.0
        for token in sequence:
            log_policies = torch.log_softmax(chorus.logits.double(), dim=1)
            found += float(mixture_step(log_policies, log_posterior)[token])
            log_posterior = posterior_step(log_posterior, log_policies[:, token])
            chorus.hear([token] * 2)
        alone = sequence_log_policies(five_tokens, prompt, sequence)
        expected = float(weights @ alone.exp())
        assert math.exp(found) == pytest.approx(expected, rel=1e-4)
        total += math.exp(found)
    assert total == pytest.approx(1.0, rel=1e-5)


def test_sampled_mixtures_have_the_frequencies_of_the_mixture(five_tokens):
    """400 seeds, two tokens: each frequency within four standard errors of sum_j a_j pi_j."""
    weights, prompt = (0.7, 0.3), [0, 1, 2]
    base = five_tokens.base
    history = [{"role": "user", "content": "bc"}]
    assert base.prompt_ids("bc") == prompt
    counts = dict.fromkeys(itertools.product(range(5), repeat=2), 0)
    speaker = blend_speaker(Blend.MIXTURE, weights)
    n = 400
    for seed in range(n):
        sampling = Sampling(max_tokens=2, temperature=1.0, seed=seed)
        *_, (answer,) = answers(five_tokens, [history], [speaker], sampling)
        said = ["abcde".index(c) for c in answer.text]
        if answer.ending is Ending.SAID:
            said.append(4)
        if len(said) == 2:
            counts[tuple(said)] += 1
    for sequence, count in counts.items():
        if sequence[0] == 4:
            continue
        alone = sequence_log_policies(five_tokens, prompt, sequence)
        expected = float(torch.tensor(weights, dtype=torch.float64) @ alone.exp())
        error = 4 * math.sqrt(expected * (1 - expected) / n) + 1 / n
        assert count / n == pytest.approx(expected, abs=error)


def test_base_and_types_give_different_logits_and_base_is_the_plain_model(adapted, tiny_models):
    name = next(n for n, folder in tiny_models.items() if str(folder) == adapted.base.name)
    plain = load_base_model(str(tiny_models[name]), device="cpu")
    ids = plain.prompt_ids("", QUESTION) if plain.has_chat_template else plain.prompt_ids("Why?")
    with torch.inference_mode():
        expected = plain.model(torch.tensor([ids]), logits_to_keep=1).logits[:, -1].float()
    voices = [BASE, *TYPES]
    alone = [Chorus(adapted, [ids], [voice]).logits for voice in voices]
    assert torch.equal(alone[0], expected)
    together = Chorus(adapted, [ids] * 4, voices).logits
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)
    for one, other in itertools.combinations(together, 2):
        assert (one - other).abs().max() > 0.1


def test_one_batched_pass_says_what_each_model_says_alone(adapted):
    """Greedy answers of every voice, by the model switched to it and no cache, token by token."""
    speakers = [base_speaker(), *(type_speaker(k) for k in range(3))]
    together = finished(adapted, speakers, temperature=0.0)
    base = adapted.base
    ids = base.prompt_ids(QUESTION[0]["content"], QUESTION)
    for speaker, answer in zip(speakers, together, strict=True):
        name = None if speaker.voices == (BASE,) else speaker.voices[0]
        said = []
        with adapted.speaking(name), torch.inference_mode():
            for _ in range(answer.n_tokens):
                logits = adapted.model(torch.tensor([ids + said])).logits
                said.append(int(logits[0, -1].argmax()))
        ends = {base.end_of_turn, base.tokenizer.eos_token_id}
        assert answer.text == whole_text(base, [token for token in said if token not in ends])


def test_an_answer_does_not_depend_on_who_else_is_asked(adapted):
    together = finished(adapted, everybody())
    for speaker, answer in zip(everybody(), together, strict=True):
        (alone,) = finished(adapted, [speaker])
        assert alone.text == answer.text and alone.ending == answer.ending


def test_answers_to_conversations_of_different_lengths(adapted):
    """Rows are padded; each says what it says alone."""
    if not adapted.base.has_chat_template:
        longer = [{"role": "user", "content": "Say something kind, and then say it again."}]
    else:
        longer = [*QUESTION, {"role": "assistant", "content": "Paris."}, *QUESTION]
    speakers = [type_speaker(0), type_speaker(1)]
    together = finished(adapted, speakers, [QUESTION, longer], temperature=0.0)
    (short,) = finished(adapted, speakers[:1], [QUESTION], temperature=0.0)
    (long,) = finished(adapted, speakers[1:], [longer], temperature=0.0)
    assert [answer.text for answer in together] == [short.text, long.text]


def test_the_same_seed_is_the_same_answer_and_another_is_not(llama):
    texts = [
        [answer.text for answer in finished(llama, everybody(), seed=seed)] for seed in (7, 7, 8)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_a_blend_of_one_voice_is_that_voice(llama):
    alone = Speaker("mixture", TYPES, (0.0, 1.0, 0.0))
    agreed = Speaker("consensus", TYPES, (0.0, 1.0, 0.0), Blend.CONSENSUS)
    told, also, expected = finished(llama, [alone, agreed, type_speaker(1)])
    assert told.text == also.text == expected.text
    assert told.posterior == (0.0, 1.0, 0.0) and also.posterior is None


def test_the_posterior_of_a_mixture_moves_and_sums_to_one(llama):
    speaker = blend_speaker(Blend.MIXTURE, WEIGHTS)
    sampling = Sampling(max_tokens=8, temperature=1.0, seed=1)
    path = [told.posterior for (told,) in answers(llama, [QUESTION], [speaker], sampling)]
    assert len(path) == 8 and all(sum(p) == pytest.approx(1) for p in path)
    assert path[0] != pytest.approx(WEIGHTS) and path[-1] != pytest.approx(path[0])


def test_text_only_grows_and_holds_no_half_characters(llama):
    seen = [""] * 6
    for partials in answers(llama, [QUESTION] * 6, everybody(), Sampling(40, 1.5, 3)):
        for index, partial in enumerate(partials):
            assert partial.text.startswith(seen[index]) and not partial.text.endswith("\ufffd")
            seen[index] = partial.text


def test_a_character_of_several_tokens_appears_when_it_is_whole(tiny_llama):
    ids = tiny_llama.tokenizer("é👍", add_special_tokens=False)["input_ids"]
    texts = [whole_text(tiny_llama, ids[:n]) for n in range(1, len(ids) + 1)]
    assert len(ids) == 6
    assert texts == ["", "é", "é", "é", "é", "é👍"]


def test_stop_is_heard_before_the_next_token(llama):
    asked = iter([False, False, False, True])
    told = list(answers(llama, [QUESTION], [base_speaker()], Sampling(50), lambda: next(asked)))
    assert [partials[0].ending for partials in told] == [None, None, Ending.STOPPED]
    (at_once,) = answers(llama, [QUESTION], [base_speaker()], Sampling(50), lambda: True)
    assert at_once[0].text == "" and at_once[0].ending is Ending.STOPPED


def test_an_answer_that_is_over_stays_while_others_go_on(five_tokens):
    """With five tokens, one in several ends an answer soon."""
    speakers = [base_speaker(), type_speaker(0), type_speaker(1)]
    for seed in range(20):
        history = [{"role": "user", "content": "ab"}]
        steps = list(answers(five_tokens, [history] * 3, speakers, Sampling(10, 1.0, seed)))
        for index, speaker in enumerate(speakers):
            column = [partials[index] for partials in steps]
            over = next(i for i, partial in enumerate(column) if partial.ending)
            assert all(partial == column[over] for partial in column[over:])
            *_, (alone,) = answers(five_tokens, [history], [speaker], Sampling(10, 1.0, seed))
            assert alone == column[-1]
        assert steps[-1][0].ending in (Ending.SAID, Ending.LIMIT)


def test_too_long_a_conversation_is_one_line(llama):
    long = [{"role": "user", "content": "why " * 300}]
    with pytest.raises(EmdpoError, match=r"takes at most 246: start a new conversation"):
        finished(llama, [base_speaker()], [long], max_tokens=10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 0}, "max_tokens must be a whole number in"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": -0.1}, "temperature must be in"),
        ({"temperature": math.nan}, "temperature must be in"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 2**63}, "seed must be"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(EmdpoError, match=message):
        Sampling(**settings)


def test_weights_that_are_none_are_refused(llama):
    with pytest.raises(EmdpoError, match="summing to one"):
        blend_speaker(Blend.MIXTURE, (0.5, 0.4))
    with pytest.raises(EmdpoError, match="carries no adapter type-4"):
        finished(llama, [type_speaker(3)])


# Saved adapters


def saved(adapted, folder):
    adapted.model.save_pretrained(folder)
    return {name: folder / name for name in adapted.names}


def test_adapters_saved_by_peft_come_back_with_the_same_policy(adapted, tmp_path):
    folders = saved(adapted, tmp_path)
    again = load_adapters(load_base_model(adapted.base.name, device="cpu"), folders)
    assert again.names == TYPES
    ids = [1, 5, 9]
    for voice in (BASE, *TYPES):
        expected, found = (Chorus(model, [ids], [voice]).logits for model in (adapted, again))
        assert torch.equal(expected, found)


def test_adapters_of_another_shape_are_refused(llama, tiny_models, tmp_path):
    folders = saved(llama, tmp_path)
    other = load_base_model(str(tiny_models["gpt2"]), device="cpu")
    with pytest.raises(EmdpoError, match=r"type-1 does not fit|do not fit this base model"):
        load_adapters(other, folders)


def test_an_adapter_that_is_no_plain_lora_or_no_safetensors_is_refused(llama, tmp_path):
    folders = saved(llama, tmp_path)
    (folders["type-2"] / "adapter_model.safetensors").rename(
        folders["type-2"] / "adapter_model.bin"
    )
    with pytest.raises(EmdpoError, match=r"no adapter_model\.safetensors"):
        load_adapters(llama.base, folders)
    with pytest.raises(EmdpoError, match="no adapter to load"):
        load_adapters(llama.base, {})


def test_a_base_model_error_is_one_of_ours():
    assert issubclass(ModelError, EmdpoError)
