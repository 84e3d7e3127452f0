"""Adapters in a chat engine: what a request says is what acts, and nothing else ever does."""

import logging
import pickle
import threading
import time
import warnings
from pathlib import Path

import pytest
import tiny_adapters
import tiny_text
import torch
import transformers
from safetensors.torch import load_file, save_file

from zerokit.adapters import AdapterSpec
from zerokit.control import Control
from zerokit.engines import text_adapters
from zerokit.engines.lora_layers import LoraLayers
from zerokit.engines.prompts import PreparedBatch
from zerokit.engines.text import TextEngine
from zerokit.engines.text_adapters import NONE, runs
from zerokit.engines.turns import Turns
from zerokit.errors import AdapterError, AdapterMismatch, RequestError, UsageError
from zerokit.requests import AdapterChoice, ChatRequest, Message

WEIGHTS = "adapter_model.safetensors"
TOKENS = tiny_text.tokenizer()
A, B, C = (AdapterChoice(name) for name in ("a", "b", "c"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_text.save(tmp_path_factory.mktemp("models") / "chat", TOKENS, tiny_text.random_model(TOKENS))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three adapters: of all layers, of some with a rank of their own, and of embeddings and output."""
    folder = tmp_path_factory.mktemp("adapters")
    source = tiny_text.random_model(TOKENS)
    return {
        "a": tiny_adapters.save(folder / "a", source, seed=1),
        "b": tiny_adapters.save(
            folder / "b", source, seed=2, target_modules=["q_proj", "up_proj"], r=8, lora_alpha=4, use_rslora=True
        ),
        "c": tiny_adapters.save(
            folder / "c",
            source,
            seed=3,
            target_modules=["embed_tokens", "down_proj"],
            rank_pattern={"down_proj": 2},
            alpha_pattern={r"^model\.layers\.0\.mlp\.down_proj": 3, "1.mlp.down_proj": 1},
        ),
    }


def engine_of(base, files, *names, **settings) -> TextEngine:
    engine = TextEngine(base, adapters=[AdapterSpec(files[name], name=name) for name in names], **settings)
    engine._end_ids, engine.model.generation_config.eos_token_id = frozenset(), None
    return engine


@pytest.fixture(scope="module")
def bare(base):
    return engine_of(base, {})


@pytest.fixture(scope="module")
def engine(base, files):
    return engine_of(base, files, "a", "b", "c")


def request(*adapters, text="Hello", **settings) -> ChatRequest:
    settings = {"temperature": 0, "max_new_tokens": 12} | settings
    return ChatRequest((Message("user", text),), adapters=adapters, **settings)


def ask(engine, *adapters, control=None, **settings) -> tuple[int, ...]:
    """The ids of an answer would be hidden by bytes that are no characters, so its text is compared as it is."""
    return engine.generate(engine.prepare(request(*adapters, **settings)), control or Control()).text


def scores(engine, *adapters) -> torch.Tensor:
    """Of the next token."""
    prepared = engine.prepare(request(*adapters))
    with torch.inference_mode(), engine._adapters.turn([prepared], Control()) as turn, turn.active([prepared]):
        return engine.model(torch.tensor([prepared.ids])).logits[0, -1]


def peft_scores(base, folder, weight=1.0) -> torch.Tensor:
    """The same, by peft's own way to load an adapter."""
    import peft

    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.PeftModel.from_pretrained(model, str(folder))
    for layer in model.modules():
        if hasattr(layer, "set_scale"):
            layer.set_scale("default", weight)
    engine = TextEngine(base)
    ids = engine.prepare(request()).ids
    with torch.inference_mode():
        return model.eval()(torch.tensor([ids])).logits[0, -1]


def is_clean(engine) -> bool:
    layers = engine._adapters._lora.layers.values()
    return all(
        layer.disable_adapters and not layer.active_adapters and not layer._forward_pre_hooks for layer in layers
    )


# One adapter


@pytest.mark.parametrize("name", ["a", "b", "c"])
@pytest.mark.parametrize("weight", [-1, 0.5, 1, 2])
def test_it_acts_as_peft_lets_it_act(base, files, engine, name, weight):
    ours = scores(engine, AdapterChoice(name, weight))
    assert torch.allclose(ours, peft_scores(base, files[name], weight), atol=1e-4)
    assert not torch.allclose(ours, scores(engine), atol=1e-2)


def test_without_an_adapter_it_is_the_base_bit_for_bit(bare, engine):
    expected = scores(bare)
    assert torch.equal(scores(engine), expected)
    for choice in (A, B, C, AdapterChoice("a", -1), AdapterChoice("a", 4)):
        scores(engine, choice)
        assert torch.equal(scores(engine), expected)
        assert torch.equal(scores(engine, AdapterChoice("a", 0)), expected)
    assert is_clean(engine)


def test_one_after_the_other_is_as_each_alone(base, files, bare, engine):
    alone = {name: ask(engine_of(base, files, name), AdapterChoice(name)) for name in "abc"}
    assert len({*alone.values(), ask(bare)}) == 4
    for names in ("a b", "b a", "c  a", "b  c"):
        for name in names.split(" "):
            assert ask(engine, *([AdapterChoice(name)] if name else [])) == (alone[name] if name else ask(bare))


def test_several_add_up(engine):
    """In the first order of small weights, what two do together is what each does alone, added."""
    base = scores(engine)
    a, b = AdapterChoice("a", 0.001), AdapterChoice("b", 0.001)
    change = scores(engine, a, b) - base
    assert torch.allclose(change, (scores(engine, a) - base) + (scores(engine, b) - base), atol=2e-4)
    assert torch.equal(scores(engine, a, b, AdapterChoice("c", 0)), scores(engine, a, b))
    assert ask(engine, A, B) != ask(engine, A)


def test_a_seed_makes_the_same_answer_again(engine):
    first = ask(engine, A, temperature=1, seed=3)
    assert ask(engine, B, temperature=1, seed=3) != first
    assert ask(engine, A, temperature=1, seed=3) == first


def test_a_merged_adapter_is_an_active_one(base, files, engine):
    merged = engine_of(base, files, merge=AdapterSpec(files["a"], weight=0.5))
    assert not merged._adapters._lora.layers
    assert merged.adapters == ()
    assert torch.allclose(scores(merged), scores(engine, AdapterChoice("a", 0.5)), atol=0.05)
    assert ask(merged, max_new_tokens=4) == ask(engine, AdapterChoice("a", 0.5), max_new_tokens=4)
    both = engine_of(base, files, "b", merge=files["a"])
    assert torch.allclose(scores(both, B), scores(engine, A, B), atol=0.1)


def test_layers_that_share_their_weights_are_not_merged(tmp_path):
    model = tiny_text.random_model(TOKENS, tie_word_embeddings=True)
    folder = tiny_adapters.save(tmp_path / "a", model, target_modules=["embed_tokens"])
    base = tiny_text.save(tmp_path / "chat", TOKENS, model)
    with pytest.raises(AdapterError, match="share their weights"):
        TextEngine(base, merge=folder)
    assert ask(TextEngine(base, adapters=[folder]), A) != ask(TextEngine(base))


def test_a_model_whose_layers_lie_the_other_way_round(tmp_path):
    config = transformers.GPT2Config(vocab_size=len(TOKENS), n_embd=32, n_layer=2, n_head=2, n_positions=256)
    model = transformers.GPT2LMHeadModel(config)
    folder = tiny_adapters.save(tmp_path / "a", model, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    engine = TextEngine(tiny_text.save(tmp_path / "chat", TOKENS, model), adapters=[folder])
    assert torch.allclose(scores(engine, A), peft_scores(tmp_path / "chat", folder), atol=1e-3)
    merged = TextEngine(tmp_path / "chat", merge=folder)
    assert torch.allclose(scores(merged), scores(engine, A), atol=0.05)


def test_the_base_is_the_one_that_the_adapter_names(files, base, monkeypatch):
    loaded = []
    real = TextEngine.__init__.__globals__["load"]
    monkeypatch.setitem(TextEngine.__init__.__globals__, "load", lambda m, **k: loaded.append(m) or real(base, **k))
    assert ask(TextEngine(adapters=[files["a"]]), A)
    assert loaded == ["embedded"]
    with pytest.raises(UsageError):
        TextEngine()


# What an engine says


def test_adapters_by_name(engine, files):
    assert [adapter.name for adapter in engine.adapters] == ["a", "b", "c"]
    assert [adapter.rank for adapter in engine.adapters] == [4, 8, 4]
    prepared = engine.prepare(request(A, AdapterChoice("b", 0)))
    assert (prepared.active_adapters, prepared.away, prepared.extra) == (1, (), ())
    assert pickle.loads(pickle.dumps(prepared)) == prepared
    assert engine.prepare_batch([request(), request(A, B)]).active_adapters == 2


def test_an_unknown_name(engine, bare):
    with pytest.raises(RequestError, match="There are: a, b, c"):
        engine.prepare(request(AdapterChoice("pirate")))
    with pytest.raises(RequestError, match=r"Question 2 of 2.*pirate"):
        engine.prepare_batch([request(), request(AdapterChoice("pirate"))])
    with pytest.raises(RequestError, match="has none"):
        bare.prepare(request(A))


def test_packed_bytes_count_the_adapters(bare, engine):
    added = engine.packed_bytes - bare.packed_bytes
    own = sum(p.numel() for name, p in engine.model.named_parameters() if "lora_" in name)
    assert added == 2 * own


def test_nothing_of_them_is_trained_and_all_lie_with_their_base(engine):
    parameters = [p for name, p in engine.model.named_parameters() if "lora_" in name]
    assert parameters
    assert not any(p.requires_grad for p in parameters)
    assert {p.dtype for p in parameters} == {torch.float32}


def test_loading_is_quiet_and_leaves_the_random_state(base, files, caplog, capfd):
    transformers.logging.enable_propagation()
    before = torch.get_rng_state()
    try:
        with caplog.at_level(logging.WARNING), warnings.catch_warnings():
            warnings.simplefilter("error")
            engine_of(base, files, "a", "b", "c")
    finally:
        transformers.logging.disable_propagation()
    assert torch.equal(torch.get_rng_state(), before)
    assert not caplog.records
    assert "lora" not in capfd.readouterr().err.lower()


# A batch

ROWS = [(A,), (), (B,), (A,), (C,), (AdapterChoice("a", 0.5),), (A, B), (AdapterChoice("a", 0),), (B, A)]


def rows():
    return [request(*chosen, text="Hi " * n, max_new_tokens=6 + n) for n, chosen in enumerate(ROWS, 1)]


def test_in_a_batch_each_row_has_its_own(engine):
    alone = [engine.generate(engine.prepare(one), Control()).text for one in rows()]
    replies = engine.generate_batch(engine.prepare_batch(rows()), Control())
    assert [reply.text for reply in replies] == alone
    assert len(set(alone)) > 6
    assert is_clean(engine)


def test_comparing_adapters_is_one_batch(engine, monkeypatch):
    calls = []
    real = engine.model.generate
    monkeypatch.setattr(engine.model, "generate", lambda ids, **k: calls.append(len(ids)) or real(ids, **k))
    batch = engine.prepare_batch([request(*chosen) for chosen in [(), (A,), (B,), (C,)]])
    texts = [reply.text for reply in engine.generate_batch(batch, Control())]
    assert calls == [4]
    assert texts == [ask(engine, *chosen) for chosen in [(), (A,), (B,), (C,)]]


def test_which_rows_go_together(engine):
    chats = engine.prepare_batch([*rows(), request(repetition_penalty=1.5)]).chats
    assert runs(chats, by_row=True) == [[0, 1, 2, 3, 4, 7], [5], [6, 8], [9]]
    assert runs(chats, by_row=False) == [[0, 3], [1, 7], [2], [4], [5], [6, 8], [9]]


def test_layers_that_do_not_see_rows(base, files):
    """As the experts of a mixture do: they get the tokens of all rows in one list."""
    engine = engine_of(base, files, "a", "b")
    layer = engine._adapters._lora.layers["model.layers.0.mlp.up_proj"]
    flat = layer.forward
    layer.register_forward_pre_hook(lambda _, args: (args[0].flatten(0, 1),), prepend=True)
    layer.register_forward_hook(lambda _, args, out: out)
    layer.forward = lambda x, **k: flat(x, **k).reshape(len(x) // engine.length, engine.length, -1)
    engine.model.model.register_forward_pre_hook(
        lambda _, args, kwargs: setattr(engine, "length", kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    chosen = [(), (A,), (B,), (A,)]
    alone = [ask(engine, *one) for one in chosen]
    batch = engine.prepare_batch([request(*one) for one in chosen])
    assert [reply.text for reply in engine.generate_batch(batch, Control())] == alone
    assert not engine._adapters.by_row


# Failures


class Fault:
    """Lets the output layer fail at its n-th call."""

    def __init__(self, engine, error, step=3):
        self.error, self.step, self.calls = error, step, 0
        self.hook = engine.model.lm_head.register_forward_hook(self)

    def __call__(self, *_):
        self.calls += 1
        if self.calls == self.step:
            raise self.error


@pytest.mark.parametrize("error", [KeyError("odd"), KeyboardInterrupt(), RuntimeError("CUDA error")])
@pytest.mark.parametrize("chosen", [[(A, B)], [(A,), (), (B,)]])
def test_after_a_failure_the_base_is_the_base(bare, engine, error, chosen):
    fault = Fault(engine, error)
    try:
        with pytest.raises(type(error)):
            engine.generate_batch(engine.prepare_batch([request(*one) for one in chosen]), Control())
    finally:
        fault.hook.remove()
    assert is_clean(engine)
    assert torch.equal(scores(engine), scores(bare))
    assert ask(engine) == ask(bare)


def test_out_of_memory_halves_a_batch_with_its_adapters(engine):
    expected = [ask(engine, *chosen) for chosen in [(A,), (), (B,), (C,)]]
    fault = Fault(engine, torch.OutOfMemoryError("CUDA out of memory."))
    try:
        batch = engine.prepare_batch([request(*chosen) for chosen in [(A,), (), (B,), (C,)]])
        assert [reply.text for reply in engine.generate_batch(batch, Control())] == expected
    finally:
        fault.hook.remove()


# Threads


def test_threads_do_not_disturb_each_other(bare, engine):
    chosen = [(A,), (), (B,), (A, B), (), (AdapterChoice("a", 2),)]
    alone = [ask(engine, *one) for one in chosen]
    together = {}

    def work(place):
        together[place] = [ask(engine, *chosen[place]) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(chosen))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert [together[place] for place in range(len(chosen))] == [[text] * 3 for text in alone]
    assert is_clean(engine)


def test_a_call_that_waits_notices_stop(engine):
    with engine._adapters._turns.turn(Control(), alone=True):
        stopped = Control()
        stopped.cancel()
        reply = engine.generate(engine.prepare(request(A)), stopped)
        assert (reply.text, reply.ended) == ("", "stopped")
        late = engine.generate(engine.prepare(request()), Control(time.monotonic() + 0.1))
        assert (late.text, late.ended) == ("", "deadline")
    assert ask(engine, A)


def test_turns_are_shared_until_one_wants_to_be_alone():
    turns, ended = Turns(), Control()
    ended.cancel()
    with turns.turn(Control(), alone=False), turns.turn(Control(), alone=False) as second:
        assert second
        with turns.turn(ended, alone=True) as third:
            assert not third
    with turns.turn(Control(), alone=True) as alone, turns.turn(ended, alone=False) as shared:
        assert (alone, shared) == (True, False)


# Adapters that do not stay


@pytest.fixture
def crowded(base, files, monkeypatch):
    """Room for one that stays and one other."""
    monkeypatch.setattr(text_adapters, "RESIDENT", 1)
    monkeypatch.setattr(text_adapters, "ROOM", 1)
    return engine_of(base, files, "a", "b", "c")


def loaded(engine):
    return engine._adapters._lora.loaded


def test_what_does_not_stay_is_loaded_when_it_is_needed(engine, crowded):
    assert loaded(crowded) == {"a0"}
    prepared = crowded.prepare(request(B))
    assert ([adapter.name for adapter in prepared.away], prepared.extra) == (["b"], ())
    for choice, names in [
        (B, {"a0", "a1"}),
        (C, {"a0", "a2"}),
        (A, {"a0", "a2"}),
        (C, {"a0", "a2"}),
        (B, {"a0", "a3"}),
    ]:
        assert ask(crowded, choice) == ask(engine, choice)
        assert loaded(crowded) == names
        assert torch.equal(scores(crowded), scores(engine))
    assert ask(crowded, A, B, C) == ask(engine, A, B, C)


def test_a_warm_worker_is_told_all(engine, crowded):
    """An adapter that came to the shelf after a worker was forked travels with the call."""
    prepared = crowded.prepare(request(B))
    crowded._adapters.shelf._by_name.pop("b")
    assert crowded.generate(prepared, Control()).text == ask(engine, B)
    assert loaded(crowded) == {"a0", "a1"}
    assert crowded.generate(prepared, Control()).text == ask(engine, B)
    assert loaded(crowded) == {"a0", "a1"}


def test_an_adapter_that_comes_later(base, files, engine):
    late = engine_of(base, files, "a")
    assert late.add_adapter(AdapterSpec(files["b"], name="b")).name == "b"
    assert loaded(late) == {"a0"}
    assert ask(late, A, B) == ask(engine, A, B)
    assert ask(late) == ask(engine)
    with pytest.raises(UsageError, match='"b"'):
        late.add_adapter(AdapterSpec(files["c"], name="b"))


def test_an_adapter_of_a_visitor(engine, base, files):
    alone = engine_of(base, files, "a")
    theirs = alone.find_adapter(AdapterSpec(files["b"], name="mine"))
    mine = AdapterChoice("mine", 0.5)
    prepared = alone.prepare(request(mine, A), extra=[theirs])
    assert alone.generate(prepared, Control()).text == ask(engine, AdapterChoice("b", 0.5), A)
    assert loaded(alone) == {"a0"}
    with pytest.raises(RequestError):
        alone.prepare(request(mine))
    assert alone.prepare(request(A), extra=[theirs]).extra == ()


def test_an_engine_without_adapters_takes_one_of_a_visitor(base, files, engine):
    bare = engine_of(base, {})
    theirs = bare.find_adapter(AdapterSpec(files["a"], name="mine"))
    before = scores(bare)
    prepared = bare.prepare(request(AdapterChoice("mine")), extra=[theirs])
    assert bare.generate(prepared, Control()).text == ask(engine, A)
    assert torch.equal(scores(bare), before)


def spoilt(files, tmp_path, change):
    folder = tiny_adapters.save(tmp_path / "spoilt", tiny_text.random_model(TOKENS), seed=9)
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    return folder


def not_finite(tensors):
    tensors[max(tensors)][0] = float("nan")


def test_weights_that_are_not_finite(engine, base, files, tmp_path):
    folder = spoilt(files, tmp_path, not_finite)
    with pytest.raises(AdapterError, match="not finite"):
        TextEngine(base, adapters=[folder])
    with pytest.raises(AdapterError, match="not finite"):
        TextEngine(base, merge=folder)
    before, text = loaded(engine), ask(engine, A)
    theirs = engine.find_adapter(folder)
    with pytest.raises(AdapterError, match="not finite"):
        engine.generate(engine.prepare(request(AdapterChoice("spoilt"), A), extra=[theirs]), Control())
    assert loaded(engine) == before
    assert is_clean(engine)
    assert ask(engine, A) == text


@pytest.mark.parametrize("error", [MemoryError("no room"), KeyboardInterrupt()])
def test_what_is_killed_in_loading_leaves_nothing(engine, crowded, monkeypatch, error):
    real, count = LoraLayers._parameter, []

    def fail(*args):
        count.append(1)
        if len(count) == 3:
            raise error
        return real(*args)

    before = scores(crowded)
    with monkeypatch.context() as patched:
        patched.setattr(LoraLayers, "_parameter", fail)
        with pytest.raises(type(error)):
            ask(crowded, B)
    assert loaded(crowded) == {"a0"}
    assert is_clean(crowded)
    assert torch.equal(scores(crowded), before)
    assert ask(crowded, B) == ask(engine, B)


def test_a_first_adapter_that_comes_only_into_some_layers(base, files, engine, monkeypatch):
    from peft.tuners.lora import Linear

    bare, real, count = engine_of(base, {}), Linear.update_layer, []

    def fail(*args, **kwargs):
        count.append(1)
        if len(count) == 5:
            raise MemoryError
        return real(*args, **kwargs)

    theirs = bare.find_adapter(AdapterSpec(files["a"], name="mine"))
    prepared, before = bare.prepare(request(AdapterChoice("mine")), extra=[theirs]), scores(bare)
    with monkeypatch.context() as patched:
        patched.setattr(Linear, "update_layer", fail)
        with pytest.raises(MemoryError):
            bare.generate(prepared, Control())
    assert len(bare._adapters._lora.layers) == 4
    assert is_clean(bare)
    assert torch.equal(scores(bare), before)
    assert bare.generate(prepared, Control()).text == ask(engine, A)


def test_what_was_left_active_is_not_inherited(bare, engine):
    """Whatever a call that was killed left behind, the next one sets its own."""
    engine._adapters._set({"a0": 2.0})
    assert torch.equal(scores(engine), scores(bare))
    assert is_clean(engine)


def test_a_file_that_changed_after_the_check(crowded, files, tmp_path, base):
    folder = tiny_adapters.save(tmp_path / "late", tiny_text.random_model(TOKENS), seed=5)
    theirs = crowded.find_adapter(folder)
    prepared = crowded.prepare(request(AdapterChoice("late")), extra=[theirs])
    (folder / WEIGHTS).write_bytes(b"<html>")
    with pytest.raises(AdapterError):
        crowded.generate(prepared, Control())
    assert is_clean(crowded)


def test_an_adapter_for_another_model(base, files, tmp_path):
    other = tiny_text.random_model(TOKENS, hidden_size=64)
    folder = tiny_adapters.save(tmp_path / "other", other)
    with pytest.raises(AdapterMismatch, match=r'"embedded".*"chat".*_proj is'):
        TextEngine(base, adapters=[folder])
    deep = tiny_adapters.save(tmp_path / "deep", tiny_text.random_model(TOKENS, num_hidden_layers=3))
    with pytest.raises(AdapterMismatch, match=r"7 of 21 layers"):
        TextEngine(base, merge=deep)


def test_no_row_is_peft_s_word_for_none():
    from peft.tuners.lora import layer

    assert f'"{NONE}"' in Path(layer.__file__).read_text("utf-8")


def test_a_batch_of_one_call_carries_all(engine):
    assert isinstance(engine.prepare_batch([request(A)]), PreparedBatch)
