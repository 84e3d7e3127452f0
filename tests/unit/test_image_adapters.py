"""Adapters in an image engine: what a request says is what acts, and nothing else ever does."""

import logging
import pickle
import socket
import time
import warnings

import pytest
import test_engine_image_time
import tiny_image
import tiny_image_adapters
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from zerokit.adapters import AdapterSpec
from zerokit.control import Control
from zerokit.engines import image_adapters
from zerokit.engines.image import ImageEngine
from zerokit.engines.image_prompts import PreparedImages
from zerokit.engines.lora_layers import LoraLayers
from zerokit.engines.painting import Painting
from zerokit.errors import AdapterError, AdapterMismatch, NonFinite, RequestError, UsageError
from zerokit.requests import AdapterChoice, ImageRequest

USUAL = tiny_image_adapters.USUAL
clocked = test_engine_image_time.clocked
A, B, C = (AdapterChoice(name) for name in ("a", "b", "c"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_image.make("stable-diffusion", tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three adapters: of denoiser and text encoder, of convolutions too, and one as kohya writes them."""
    folder = tmp_path_factory.mktemp("adapters")
    parts = {"unet": (*tiny_image_adapters.DENOISER, *tiny_image_adapters.CONVOLUTIONS)}
    return {
        "a": tiny_image_adapters.save(folder / "a", seed=1),
        "b": tiny_image_adapters.save(folder / "b", seed=2, parts=parts, rank=2, strength=0.2),
        "c": tiny_image_adapters.save_kohya(folder / "c.safetensors", seed=3),
    }


def engine_of(base, files, *names, **settings) -> ImageEngine:
    return ImageEngine(base, adapters=[AdapterSpec(files[name], name=name) for name in names], **settings)


@pytest.fixture(scope="module")
def bare(base):
    return engine_of(base, {})


@pytest.fixture(scope="module")
def engine(base, files):
    return engine_of(base, files, "a", "b", "c")


def request(*adapters, **settings) -> ImageRequest:
    return ImageRequest("a red circle", adapters=adapters, **{"steps": 2, "seed": 5} | settings)


def paint(engine, *adapters, control=None, extra=(), **settings) -> bytes:
    """The pixels of the picture."""
    prepared = engine.prepare(request(*adapters, **settings), extra=extra)
    return engine.generate(prepared, control or Control()).pictures[0].image.tobytes()


def by_diffusers(base, loaded, **settings) -> bytes:
    """The same, by diffusers' own way to load adapters: files with their weights."""
    engine = ImageEngine(base)
    with tiny_image.quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, (file, _) in enumerate(loaded):
            engine.pipe.load_lora_weights(str(file / USUAL if file.is_dir() else file), adapter_name=f"n{number}")
        engine.pipe.set_adapters([f"n{number}" for number in range(len(loaded))], [weight for _, weight in loaded])
    return paint(engine, **settings)


def layers(engine):
    return [layer for part in engine._adapters._parts.values() for layer in part.layers.values()]


def loaded(engine):
    return set().union(*(part.loaded for part in engine._adapters._parts.values()))


def is_clean(engine) -> bool:
    return all(layer.disable_adapters and not layer.active_adapters for layer in layers(engine))


def weights(engine) -> dict[str, torch.Tensor]:
    """Of the base alone, by their own names."""
    models = {name: part for name, part in engine.pipe.components.items() if isinstance(part, torch.nn.Module)}
    return {
        f"{name}.{key.replace('.base_layer', '')}": value.clone()
        for name, part in models.items()
        for key, value in part.state_dict().items()
        if "lora_" not in key
    }


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


# One adapter


@pytest.mark.parametrize("name", ["a", "b", "c"])
@pytest.mark.parametrize("weight", [-1, 0.5])
def test_it_acts_as_diffusers_lets_it_act(base, files, engine, name, weight):
    ours = paint(engine, AdapterChoice(name, weight))
    assert ours == by_diffusers(base, [(files[name], weight)])
    assert ours != paint(engine)


@pytest.mark.parametrize("family", ["stable-diffusion-3", "flux"])
def test_it_acts_so_in_other_families(family, tmp_path):
    base = tiny_image.make(family, tmp_path / "model")
    file = tiny_image_adapters.save(tmp_path / "a", family)
    engine = engine_of(base, {"a": file}, "a")
    before, own = paint(engine), weights(engine)
    assert {name for name, part in engine._adapters._parts.items() if part.layers} == {"transformer", "text_encoder"}
    assert paint(engine, AdapterChoice("a", 0.7)) == by_diffusers(base, [(file, 0.7)]) != before
    assert paint(engine) == before == paint(ImageEngine(base))
    assert same(weights(engine), own)


def test_it_acts_in_the_embedded_model(tmp_path):
    engine = ImageEngine("embedded")
    with tiny_image.quiet():
        unet = type(engine.pipe.unet).from_config(engine.pipe.unet.config)
    found = tiny_image_adapters.matrices(tiny_image_adapters.trained(unet, tiny_image_adapters.DENOISER))
    with tiny_image.quiet():
        type(engine.pipe).save_lora_weights(tmp_path, unet_lora_layers=found)
    before = paint(engine)
    engine.add_adapter(AdapterSpec(tmp_path, name="a"))
    assert paint(engine, A) != before
    assert paint(engine) == before


def test_without_an_adapter_it_is_the_base_bit_for_bit(bare, engine):
    expected, own = paint(bare), weights(bare)
    assert paint(engine) == expected
    for choice in (A, B, C, AdapterChoice("a", -1), AdapterChoice("b", 4)):
        paint(engine, choice)
        assert paint(engine) == expected
        assert paint(engine, AdapterChoice("a", 0), AdapterChoice("c", 0)) == expected
    assert same(weights(engine), own)
    assert is_clean(engine)


def test_one_after_the_other_is_as_each_alone(base, files, bare, engine):
    alone = {name: paint(engine_of(base, files, name), AdapterChoice(name)) for name in "abc"}
    assert len({*alone.values(), paint(bare)}) == 4
    for names in ("a b", "b a", "c  a", "b  c"):
        for name in names.split(" "):
            assert paint(engine, *([AdapterChoice(name)] if name else [])) == (alone[name] if name else paint(bare))


def test_several_act_together_as_in_diffusers(base, files, engine):
    ours = paint(engine, AdapterChoice("a", 0.5), AdapterChoice("b", -0.7))
    assert ours == by_diffusers(base, [(files["a"], 0.5), (files["b"], -0.7)])
    assert len({ours, paint(engine, AdapterChoice("a", 0.5)), paint(engine, AdapterChoice("b", -0.7))}) == 3
    assert paint(engine, AdapterChoice("a", 0.5), AdapterChoice("b", -0.7), AdapterChoice("c", 0)) == ours


@pytest.mark.parametrize("mode", ["image", "inpaint"])
def test_pipelines_that_share_the_models_see_it_too(base, files, bare, engine, mode):
    more = {"image": Image.new("RGB", (32, 32), "red")}
    if mode == "inpaint":
        more["mask"] = Image.new("L", (32, 32), 255)
    before = paint(bare, **more)
    assert paint(engine, A, **more) == by_diffusers(base, [(files["a"], 1)], **more) != before
    assert paint(engine, **more) == before


def test_pictures_of_one_request_all_have_it(engine):
    prepared = engine.prepare(request(A, images=2))
    pictures = engine.generate(prepared, Control()).pictures
    assert [picture.image.tobytes() for picture in pictures] == [paint(engine, A, seed=seed) for seed in (5, 6)]


def test_a_merged_adapter_is_an_active_one(base, files, engine):
    for name in "abc":
        merged = engine_of(base, files, merge=AdapterSpec(files[name], weight=0.3))
        assert (layers(merged), merged.adapters) == ([], ())
        assert near(paint(merged), paint(engine, AdapterChoice(name, 0.3)))
        assert not near(paint(merged), paint(engine))
    both = engine_of(base, files, "a", merge=AdapterSpec(files["b"], weight=0.3))
    assert near(paint(both, AdapterChoice("a", 0.3)), paint(engine, AdapterChoice("a", 0.3), AdapterChoice("b", 0.3)))
    assert near(paint(both), paint(engine, AdapterChoice("b", 0.3)))


def near(one: bytes, other: bytes) -> bool:
    """Weights that were added in half precision may change a pixel a little."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one) < 1.5


def test_the_base_is_the_one_that_the_adapter_names(base, tmp_path, monkeypatch):
    folder = tiny_image_adapters.save(tmp_path / "a")
    (folder / "README.md").write_text("---\nbase_model: some/diffusion\n---\n")
    asked = []
    real = ImageEngine.__init__.__globals__["load"]
    monkeypatch.setitem(ImageEngine.__init__.__globals__, "load", lambda m, **k: asked.append(m) or real(base, **k))
    assert paint(ImageEngine(adapters=[folder]), A)
    assert asked == ["some/diffusion"]
    with pytest.raises(UsageError):
        ImageEngine()
    with pytest.raises(AdapterError, match="name the model"):
        ImageEngine(adapters=[tiny_image_adapters.save(tmp_path / "b")])


# How strongly


def with_metadata(folder, **config):
    """An adapter that says in its header how it was trained."""
    pipe = tiny_image.build("stable-diffusion")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        unet = tiny_image_adapters.trained(pipe.unet, tiny_image_adapters.DENOISER)
    said = {"peft_type": "LORA", "r": 4, "target_modules": ["to_q"], **config}
    with tiny_image.quiet():
        found = tiny_image_adapters.matrices(unet)
        type(pipe).save_lora_weights(folder, unet_lora_layers=found, unet_lora_adapter_metadata=said)
    return folder


@pytest.mark.parametrize(
    "config",
    [
        {"lora_alpha": 2},
        {"lora_alpha": 4, "alpha_pattern": {"to_q": 1, "attn2.to_k": 8}},
        {"lora_alpha": 2, "use_rslora": True},
    ],
    ids=str,
)
def test_alphas_in_the_header(base, tmp_path, config):
    folder = with_metadata(tmp_path / "a", **config)
    ours = paint(engine_of(base, {"a": folder}, "a"), A)
    assert ours == by_diffusers(base, [(folder, 1)])
    assert ours != paint(engine_of(base, {"a": with_metadata(tmp_path / "b", lora_alpha=12)}, "a"), A)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"peft_type": "LOKR"}, "type LOKR"),
        ({"lora_alpha": "many"}, "lora_alpha is many"),
        ({"r": -1}, "r is -1"),
    ],
)
def test_a_header_that_is_not_understood(engine, tmp_path, config, said):
    with pytest.raises(AdapterError, match=said):
        engine.find_adapter(with_metadata(tmp_path / "a", **config))


def test_each_module_of_kohya_has_its_own_alpha(base, tmp_path):
    """Twice the alpha is twice the weight, in attention and in convolutions apart."""
    one = tiny_image_adapters.save_kohya(tmp_path / "one.safetensors", alpha=2, conv_alpha=1)
    two = tiny_image_adapters.save_kohya(tmp_path / "two.safetensors", alpha=1, conv_alpha=0.5)
    engine = engine_of(base, {"one": one, "two": two}, "one", "two")
    assert paint(engine, AdapterChoice("one")) == paint(engine, AdapterChoice("two", 2))
    scales = {
        name: layer.lora_alpha["a0"]
        for name, layer in engine._adapters._parts["unet"].layers.items()
        if "a0" in layer.lora_alpha
    }
    assert {alpha for name, alpha in scales.items() if "conv" in name} == {1.0}
    assert {alpha for name, alpha in scales.items() if "to_" in name} == {2.0}


def test_a_config_beside_the_file_says_it_too(base, tmp_path):
    folder = tiny_image_adapters.save(tmp_path / "a", parts={"unet": tiny_image_adapters.DENOISER})
    whole = paint(engine_of(base, {"a": folder}, "a"), AdapterChoice("a", 0.5))
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 2}')
    assert paint(engine_of(base, {"a": folder}, "a"), A) == whole


# What an engine says


def test_adapters_by_name(engine):
    assert [adapter.name for adapter in engine.adapters] == ["a", "b", "c"]
    prepared = engine.prepare(request(A, AdapterChoice("b", 0)))
    assert (prepared.active_adapters, prepared.away, prepared.extra, prepared.to_load) == (1, (), (), 0)
    again = pickle.loads(pickle.dumps(prepared))
    assert again == prepared
    batch = engine.prepare_batch([request(), request(A, B)])
    assert isinstance(batch, PreparedImages)
    assert [row.active_adapters for row in batch.rows] == [0, 2]


def test_an_unknown_name(engine, bare):
    with pytest.raises(RequestError, match="There are: a, b, c"):
        engine.prepare(request(AdapterChoice("pirate")))
    with pytest.raises(RequestError, match=r"Picture 2 of 2.*pirate"):
        engine.prepare_batch([request(), request(AdapterChoice("pirate"))])
    with pytest.raises(RequestError, match="has none"):
        bare.prepare(request(A))
    with pytest.raises(RequestError, match="no picture"):
        bare.prepare_batch([])
    with pytest.raises(UsageError, match='"a"'):
        engine.add_adapter(engine.adapters[0].spec)


def test_packed_bytes_count_the_adapters_and_parameters_do_not(bare, engine):
    own = sum(
        p.numel() for part in engine._adapters._parts.values() for n, p in part.model.named_parameters() if "lora_" in n
    )
    assert engine.packed_bytes - bare.packed_bytes == 2 * own > 0
    assert engine.parameters == bare.parameters


def test_nothing_of_them_is_trained_and_all_lie_with_their_base(engine):
    parameters = [p for layer in layers(engine) for name, p in layer.named_parameters() if "lora_" in name]
    assert parameters
    assert not any(p.requires_grad for p in parameters)
    assert {p.dtype for p in parameters} == {torch.float32}


def test_loading_is_quiet_asks_nobody_and_leaves_the_random_state(base, files, caplog, capfd, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    one = ImageEngine(base)
    capfd.readouterr()
    monkeypatch.setattr(socket.socket, "connect", refuse)
    before = torch.get_rng_state()
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in "abc":
            one.add_adapter(AdapterSpec(files[name], name=name))
        paint(one, A, B, C)
        paint(one)
    assert torch.equal(torch.get_rng_state(), before)
    assert [record.getMessage() for record in caplog.records] == []
    assert capfd.readouterr() == ("", "")


# Several requests in one call

ROWS = [(A,), (), (B,), (AdapterChoice("a", 0.5),), (A, B), (AdapterChoice("c", 0),)]


def rows(**settings):
    return [request(*chosen, **settings) for chosen in ROWS]


def test_in_a_batch_each_row_has_its_own(engine):
    alone = [paint(engine, *chosen) for chosen in ROWS]
    replies = engine.generate_batch(engine.prepare_batch(rows()), Control())
    assert [reply.pictures[0].image.tobytes() for reply in replies] == alone
    assert len(set(alone)) == len(ROWS) - 1
    assert {reply.ended for reply in replies} == {"complete"}
    assert is_clean(engine)


class Watching(Control):
    """Keeps what was reported, and cancels itself after so many reports of a finished row."""

    def __init__(self, *args, stop_after=99):
        super().__init__(*args)
        self.done, self.finished, self.stop_after = [], [], stop_after

    def report(self, done=None, total=None, text="", *, made=None):
        super().report(done, total, text, made=made)
        self.done.append((done, total))
        if made is not None:
            self.finished.append([len(reply.pictures) for reply in made])
            if sum(map(bool, self.finished[-1])) >= self.stop_after:
                self.cancel()


def test_progress_goes_over_all_rows_and_finished_ones_are_handed_over(engine):
    control = Watching()
    engine.generate_batch(engine.prepare_batch(rows()), control)
    done = [one for one, _ in control.done]
    assert done == sorted(done)
    assert {total for _, total in control.done} == {2 * len(ROWS)}
    assert done[-1] == 2 * len(ROWS)
    assert [1, 1, 0, 0, 0, 0] in control.finished
    assert control.finished[-1] == [1] * len(ROWS)


def test_stop_keeps_the_rows_that_are_finished(engine):
    replies = engine.generate_batch(engine.prepare_batch(rows()), Watching(stop_after=2))
    assert [len(reply.pictures) for reply in replies] == [1, 1, 0, 0, 0, 0]
    assert [reply.ended for reply in replies] == ["complete"] * 2 + ["stopped"] * 4
    assert replies[0].pictures[0].image.tobytes() == paint(engine, A)
    assert is_clean(engine)


def test_rows_that_do_not_fit_are_cut_and_say_so(engine, clocked):
    """Each would take 22 s, and for each there are 12."""
    batch = engine.prepare_batch([request(*chosen, steps=20) for chosen in ROWS[:3]])
    clock = clocked(engine, 36)
    replies = engine.generate_batch(batch, clock)
    assert [len(reply.pictures) for reply in replies] == [1, 1, 1]
    assert [reply.ended for reply in replies] == ["deadline"] * 3
    assert all(7 <= reply.steps < 20 for reply in replies)
    assert all(reply.notes == (f"Only {reply.steps} of 20 steps fitted into the reserved time.",) for reply in replies)
    assert clock.now <= 36


def test_rows_that_fit_are_not_cut(engine, clocked):
    batch = engine.prepare_batch([request(*chosen, steps=20) for chosen in ROWS[:3]])
    clock = clocked(engine, 66.1)
    assert [reply.steps for reply in engine.generate_batch(batch, clock)] == [20, 20, 20]
    assert clock.now == 66


def test_rows_that_come_too_late_say_so(engine, clocked):
    replies = engine.generate_batch(engine.prepare_batch(rows()), clocked(engine, 0))
    assert [(reply.pictures, reply.ended) for reply in replies] == [((), "deadline")] * len(ROWS)
    assert all("before a picture could be made" in reply.notes[-1] for reply in replies)


def test_a_row_that_fails_costs_no_other(engine, monkeypatch):
    real = Painting.run

    def run(self):
        if self._prepared.active_adapters == 2:
            raise NonFinite("The model computed NaN.")
        return real(self)

    monkeypatch.setattr(Painting, "run", run)
    replies = engine.generate_batch(engine.prepare_batch(rows()), Control())
    assert [len(reply.pictures) for reply in replies] == [1, 1, 1, 1, 0, 1]
    assert (replies[4].ended, replies[4].notes) == ("interrupted", ("The model computed NaN.",))
    with pytest.raises(NonFinite):
        engine.generate_batch(engine.prepare_batch([request(A, B)] * 2), Control())


def test_a_call_that_waits_notices_stop(engine):
    stopped = Control()
    stopped.cancel()
    with engine._busy:
        assert engine.generate(engine.prepare(request(A)), stopped).ended == "stopped"
        replies = engine.generate_batch(engine.prepare_batch(rows()), Control(time.monotonic() + 0.1))
    assert [reply.ended for reply in replies] == ["deadline"] * len(ROWS)
    assert paint(engine, A)


# Failures


@pytest.mark.parametrize("error", [KeyError("odd"), KeyboardInterrupt(), RuntimeError("CUDA error")])
def test_after_a_failure_the_base_is_the_base(bare, engine, monkeypatch, error):
    def fail(*_):
        raise error

    with monkeypatch.context() as patched:
        hook = engine.pipe.unet.conv_out.register_forward_hook(fail)
        patched.setattr(image_adapters, "ROOM", 1)
        with pytest.raises(type(error)):
            paint(engine, A, B)
        hook.remove()
    assert is_clean(engine)
    assert paint(engine) == paint(bare)


def test_what_was_left_active_is_not_inherited(bare, engine):
    engine._adapters._set({"a0": 2.0})
    assert paint(engine) == paint(bare)
    assert is_clean(engine)


# Adapters that do not stay


@pytest.fixture
def crowded(base, files, monkeypatch):
    """Room for one that stays and one other."""
    monkeypatch.setattr(image_adapters, "RESIDENT", 1)
    monkeypatch.setattr(image_adapters, "ROOM", 1)
    return engine_of(base, files, "a", "b", "c")


def test_what_does_not_stay_is_loaded_when_it_is_needed(engine, crowded):
    assert loaded(crowded) == {"a0"}
    prepared = crowded.prepare(request(B, AdapterChoice("c", 0)))
    assert ([adapter.name for adapter in prepared.away], prepared.extra) == (["b", "c"], ())
    assert 1 < prepared.to_load < 1.1
    for choice, names in [
        (B, {"a0", "a1"}),
        (C, {"a0", "a2"}),
        (A, {"a0", "a2"}),
        (C, {"a0", "a2"}),
        (B, {"a0", "a3"}),
    ]:
        assert paint(crowded, choice) == paint(engine, choice)
        assert loaded(crowded) == names
        assert paint(crowded) == paint(engine)
    assert paint(crowded, A, B, C) == paint(engine, A, B, C)
    replies = crowded.generate_batch(crowded.prepare_batch(rows()), Control())
    assert [reply.pictures[0].image.tobytes() for reply in replies] == [paint(engine, *chosen) for chosen in ROWS]


def test_large_ones_do_not_stay(base, files, engine, monkeypatch):
    """More bytes would make each cold start longer, and may turn a Space into one that reserves twice as much."""
    monkeypatch.setattr(image_adapters, "RESIDENT_BYTES", engine.adapters[0].bytes + 100)
    assert loaded(engine_of(base, files, "a", "b")) == {"a0"}


def test_a_warm_worker_is_told_all(engine, crowded):
    """An adapter that came to the shelf after a worker was forked travels with the call."""
    prepared = crowded.prepare(request(B))
    crowded._adapters.shelf._by_name.pop("b")
    expected = paint(engine, B)
    assert crowded.generate(prepared, Control()).pictures[0].image.tobytes() == expected
    assert loaded(crowded) == {"a0", "a1"}
    assert crowded.generate(prepared, Control()).pictures[0].image.tobytes() == expected
    assert loaded(crowded) == {"a0", "a1"}


def test_an_adapter_that_comes_later(base, files, engine):
    late = engine_of(base, files, "a")
    assert late.add_adapter(AdapterSpec(files["b"], name="b")).name == "b"
    assert loaded(late) == {"a0"}
    assert paint(late, A, B) == paint(engine, A, B)
    assert paint(late) == paint(engine)


def test_an_adapter_of_a_visitor(base, files, engine, bare):
    theirs = bare.find_adapter(AdapterSpec(files["c"], name="mine"))
    mine, own = AdapterChoice("mine", 0.5), weights(bare)
    assert paint(bare, mine, extra=[theirs]) == paint(engine, AdapterChoice("c", 0.5))
    assert loaded(bare) == set()
    assert same(weights(bare), own)
    assert paint(bare) == paint(engine)
    with pytest.raises(RequestError):
        bare.prepare(request(mine))
    assert bare.prepare(request(), extra=[theirs]).extra == ()
    batch = bare.prepare_batch([request(), request(mine), request(AdapterChoice("mine", 2))], extra=[theirs])
    assert 1 < batch.to_load < 1.1
    assert len({reply.pictures[0].image.tobytes() for reply in bare.generate_batch(batch, Control())}) == 3
    assert loaded(bare) == set()


def spoilt(folder, change):
    tiny_image_adapters.save(folder, seed=9)
    tensors = load_file(folder / USUAL)
    change(tensors)
    save_file(tensors, folder / USUAL)
    return folder


def not_finite(tensors):
    tensors[max(tensors)][0] = float("nan")


def test_weights_that_are_not_finite_are_found_before_a_gpu_is_asked_for(base, tmp_path, engine):
    folder = spoilt(tmp_path / "spoilt", not_finite)
    with pytest.raises(AdapterError, match="not finite"):
        ImageEngine(base, adapters=[folder])
    with pytest.raises(AdapterError, match="not finite"):
        ImageEngine(base, merge=folder)
    with pytest.raises(AdapterError, match="not finite"):
        engine.find_adapter(folder)
    with pytest.raises(AdapterError, match="not finite"):
        engine.add_adapter(folder)
    assert len(engine.adapters) == 3


def test_a_file_that_changed_after_the_check(engine, tmp_path):
    folder = tiny_image_adapters.save(tmp_path / "late", seed=9)
    theirs = engine.find_adapter(folder)
    prepared = engine.prepare(request(AdapterChoice("late"), A), extra=[theirs])
    before, text = loaded(engine), paint(engine, A)
    for content in (b"<html>", b""):
        (folder / USUAL).write_bytes(content)
        with pytest.raises(AdapterError):
            engine.generate(prepared, Control())
    spoilt(folder, not_finite)
    with pytest.raises(AdapterError, match="not finite"):
        engine.generate(prepared, Control())
    (folder / USUAL).unlink()
    with pytest.raises(AdapterError):
        engine.generate(prepared, Control())
    assert (loaded(engine), is_clean(engine), paint(engine, A)) == (before, True, text)


@pytest.mark.parametrize("error", [MemoryError("no room"), KeyboardInterrupt()])
@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_what_is_killed_in_loading_leaves_nothing(engine, crowded, monkeypatch, error, part):
    real, count, dying = LoraLayers._parameter, [], crowded._adapters._parts[part]

    def fail(self, layer, matrix):
        count.append(self)
        if count.count(dying) == 3:
            raise error
        return real(self, layer, matrix)

    before, own = paint(crowded), weights(crowded)
    with monkeypatch.context() as patched:
        patched.setattr(LoraLayers, "_parameter", fail)
        with pytest.raises(type(error)):
            paint(crowded, C)
    assert loaded(crowded) == {"a0"}
    assert is_clean(crowded)
    assert same(weights(crowded), own)
    assert paint(crowded) == before
    assert paint(crowded, C) == paint(engine, C)


# Adapters that do not fit


def test_an_adapter_for_another_width(base, files, tmp_path):
    wide = tiny_image.save(tiny_image.stable_diffusion(block_out_channels=(8, 32)), tmp_path / "wide")
    with pytest.raises(AdapterMismatch, match=r'"a" was made for another model.*"wide": unet\.\S+ is \['):
        engine_of(wide, files, "a")
    with pytest.raises(AdapterMismatch, match=r'"c".*"wide"'):
        engine_of(wide, files, "c")


def test_an_adapter_for_another_family(base, files, tmp_path):
    three = tiny_image.make("stable-diffusion-3", tmp_path / "three")
    for name in ("a", "b", "c"):
        with pytest.raises(AdapterMismatch, match=f'"{name}".*"three"'):
            engine_of(three, files, name)
    theirs = tiny_image_adapters.save(tmp_path / "theirs", "stable-diffusion-3")
    with pytest.raises(AdapterMismatch, match=r'"theirs".*"sd"'):
        ImageEngine(base, adapters=[theirs])


def test_a_family_without_adapters(files, tmp_path):
    pixart = tiny_image.make("pixart-sigma", tmp_path / "pixart")
    with pytest.raises(AdapterMismatch, match=r'"pixart": diffusers knows no adapters for a PixArtSigmaPipeline'):
        engine_of(pixart, files, "a")
    with pytest.raises(RequestError, match="has none"):
        ImageEngine(pixart).prepare(request(A))


@pytest.mark.parametrize(
    "rename",
    [
        lambda key: key.replace("unet.down_blocks.1", "unet.down_blocks.7"),
        lambda key: key.replace("unet.", "transformer."),
        lambda key: key.replace("unet.", "controlnet."),
        lambda key: key.removeprefix("unet.").removeprefix("text_encoder."),
        lambda key: key.replace("text_encoder.", "text_encoder_2."),
        lambda key: key.replace("encoder.layers.0", "encoder.layers.9"),
    ],
)
def test_layers_that_match_nothing(base, tmp_path, rename):
    def change(tensors):
        for key in list(tensors):
            tensors[rename(key)] = tensors.pop(key)

    with pytest.raises(AdapterMismatch, match=r'"odd" was made for another model, and the model is "sd"'):
        ImageEngine(base, adapters=[spoilt(tmp_path / "odd", change)])


def test_layers_of_the_right_name_in_the_wrong_shape(base, tmp_path):
    def change(tensors):
        key = next(key for key in tensors if key.startswith("unet") and key.endswith("lora_A.weight"))
        tensors[key] = torch.zeros(4, 99)

    with pytest.raises(AdapterMismatch, match=r"is \[\d+, 99\] in the adapter and \[\d+, \d+\] in the model"):
        ImageEngine(base, adapters=[spoilt(tmp_path / "odd", change)])


@pytest.mark.parametrize(
    "key",
    [
        "unet.conv_in.diff",
        "unet.conv_in.lora_magnitude_vector",
        "lora_unet_conv_in.dora_scale",
        "emb_params",
        "unet.x.lokr_w1",
    ],
)
def test_what_is_more_than_lora(base, tmp_path, key):
    folder = spoilt(tmp_path / "more", lambda tensors: tensors.update({key: torch.zeros(4, 4)}))
    with pytest.raises(AdapterError, match="only plain LoRA"):
        ImageEngine(base, adapters=[folder])


def test_a_rank_that_is_too_large(base, tmp_path):
    folder = tiny_image_adapters.save(tmp_path / "a", parts={"unet": ("conv_in",)}, rank=4096)
    with pytest.raises(AdapterError, match=r"rank 4,096"):
        ImageEngine(base, adapters=[folder])


def test_a_model_is_no_adapter(base):
    with pytest.raises(AdapterError, match="a whole model"):
        ImageEngine(base, adapters=[base])
    with pytest.raises(AdapterError, match="no LoRA matrices"):
        ImageEngine(base, adapters=[base / "unet" / "diffusion_pytorch_model.safetensors"])


def test_flux_is_not_widened_for_an_adapter(tmp_path):
    """diffusers would give the model a wider first layer, for good."""
    base = tiny_image.make("flux", tmp_path / "flux")
    folder = tmp_path / "control"
    folder.mkdir()
    wide = {"lora_A": torch.zeros(4, 32), "lora_B": torch.zeros(16, 4)}
    save_file({f"transformer.x_embedder.{side}.weight": value for side, value in wide.items()}, folder / USUAL)
    engine = ImageEngine(base)
    before = weights(engine)
    with pytest.raises(AdapterMismatch, match=r'"control" was made for another model, and the model is "flux"'):
        engine.find_adapter(folder)
    assert same(weights(engine), before)


def test_repositories_with_other_names(base, files, tmp_path, monkeypatch):
    folder = tiny_image_adapters.save(tmp_path / "a")
    (folder / "README.md").write_text("---\nbase_model: owner/other-model\n---\n")
    engine = ImageEngine(base)
    engine._adapters._base_name = "owner/this-model"
    with pytest.raises(AdapterMismatch, match=r'"owner/other-model", and the model is "owner/this-model"'):
        engine.find_adapter(folder)
    engine._adapters._any_base = True
    assert engine.find_adapter(folder).base == "owner/other-model"
