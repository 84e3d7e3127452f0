"""Adapters are found, and refused before anything large is fetched where they are not what they should be."""

import json
import os
import pickle
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import tiny_adapters
import tiny_text
import torch
from hub_stand_in import GOOD_TOKEN, serve
from safetensors.torch import load_file, save_file

from zerokit.adapters import AdapterSpec
from zerokit.engines.adapter_files import pairs, read_header
from zerokit.engines.shelf import Adapter, Shelf, base_of, check_base, find_adapter
from zerokit.errors import (
    AdapterError,
    AdapterMismatch,
    GatedModel,
    ModelError,
    ModelNotFound,
    RequestError,
    UnsafeWeights,
    UsageError,
)

WEIGHTS = "adapter_model.safetensors"
MODEL = tiny_text.random_model(tiny_text.tokenizer())
SHAPES = {name: tuple(m.weight.shape) for name, m in MODEL.named_modules() if hasattr(m, "weight")}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tiny_adapters.save(tmp_path_factory.mktemp("adapters") / "pirate", MODEL, base="owner/chat")


@pytest.fixture
def adapter(saved, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "owner" / "pirate"))


@pytest.fixture
def hub(adapter, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serve(tmp_path) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def find(source, kind="text", **settings) -> Adapter:
    token = settings.pop("token", None)
    return find_adapter(AdapterSpec(source, **settings), kind=kind, token=token)


def write(file: Path, header: object, data: bytes = b"") -> None:
    """A safetensors file with any header."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(len(raw).to_bytes(8, "little") + raw + data)


def changed(file: Path, change) -> None:
    """Write the tensors of a file again, as `change` made them."""
    tensors = load_file(file)
    save_file(change(tensors) or tensors, file)


def one_pair(rank=4, side=8, name="base_model.model.q_proj") -> dict:
    down, up = torch.zeros(rank, side), torch.zeros(side, rank)
    return {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}


# What is there


def test_a_folder(adapter):
    found = find(adapter)
    assert (found.name, found.kind, found.base, found.rank) == ("pirate", "text", "owner/chat", 4)
    assert (found.path, found.file) == (adapter, adapter / WEIGHTS)
    assert found.bytes == (adapter / WEIGHTS).stat().st_size
    assert found.targets == tuple(sorted(tiny_adapters.LINEAR))
    assert len(found.sha256) == 64
    assert pickle.loads(pickle.dumps(found)) == found
    assert len(pickle.dumps(found)) < 2000
    assert find(str(adapter)).file == found.file


def test_a_file_with_its_config_beside_it(adapter):
    assert find(adapter / WEIGHTS).path == adapter
    (adapter / "adapter_config.json").unlink()
    with pytest.raises(AdapterError, match=r"adapter_config\.json"):
        find(adapter / WEIGHTS)
    image = find(adapter / WEIGHTS, kind="image")
    assert (image.path, image.base) == (adapter / WEIGHTS, None)


def test_the_base_is_told_by_the_config_or_the_card(adapter):
    assert base_of(AdapterSpec(adapter)) == "owner/chat"
    tiny_adapters.change(adapter, base_model_name_or_path="/home/me/models/chat")
    assert find(adapter).base is None
    (adapter / "README.md").write_text("---\nbase_model: owner/other\n---\n")
    assert base_of(AdapterSpec(adapter)) == find(adapter).base == "owner/other"
    (adapter / "README.md").write_text("---\nbase_model: [a, !!python/object:os.system x\n---\n")
    assert find(adapter).base is None


def test_a_file_that_is_named(adapter):
    (adapter / "late").mkdir()
    for name in (WEIGHTS, "adapter_config.json"):
        shutil.copy(adapter / name, adapter / "late" / name)
    assert find(adapter, weight_name=f"late/{WEIGHTS}").path == adapter / "late"
    with pytest.raises(AdapterError, match=r"There are: adapter_model\.safetensors"):
        find(adapter, weight_name="other.safetensors")


def test_the_ways_to_write_lora(tmp_path):
    for down, up in [
        ("lora_A.weight", "lora_B.weight"),
        ("lora_A.default.weight", "lora_B.default.weight"),
        ("lora.down.weight", "lora.up.weight"),
        ("lora_linear_layer.down.weight", "lora_linear_layer.up.weight"),
        ("lora_down.weight", "lora_up.weight"),
    ]:
        file = tmp_path / "x.safetensors"
        tensors = {f"unet.to_q.{down}": torch.zeros(2, 8, 3, 3), f"unet.to_q.{up}": torch.zeros(4, 2, 1, 1)}
        save_file(tensors | {"unet.to_q.alpha": torch.tensor(2.0)}, file)
        (pair,) = pairs(read_header(file))
        assert (pair.module, pair.rank, pair.shape) == ("unet.to_q", 2, (4, 8, 3, 3))


# What is refused


def test_pickles(adapter, tmp_path):
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    for source, settings in [
        (adapter, {}),
        (adapter / "adapter_model.bin", {}),
        (adapter, {"weight_name": "adapter_model.bin"}),
    ]:
        with pytest.raises(UnsafeWeights):
            find(source, **settings)


@pytest.mark.parametrize(
    "name",
    ["../x.safetensors", "/etc/x.safetensors", "a/../../x.safetensors", "a\\x.safetensors", "x", "*.safetensors"],
)
def test_names_of_files_that_climb(adapter, name):
    with pytest.raises(AdapterError, match="inside the source"):
        find(adapter, weight_name=name)


def test_a_link_that_leads_out(adapter, tmp_path):
    outside = shutil.move(adapter / WEIGHTS, tmp_path / "secret.safetensors")
    os.symlink(outside, adapter / WEIGHTS)
    with pytest.raises(AdapterError, match="link"):
        find(adapter)


@pytest.mark.parametrize("name", ["<b>x</b>", "x\x00", "a\nb", "\u202eevil", " "])
def test_names_that_are_no_names(adapter, name):
    with pytest.raises((AdapterError, UsageError)):
        find(adapter, name=name)


def test_a_folder_without_an_adapter(adapter, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(AdapterError, match="no adapter"):
        find(empty)
    shutil.copy(adapter / WEIGHTS, adapter / "second.safetensors")
    (adapter / WEIGHTS).rename(adapter / "first.safetensors")
    with pytest.raises(AdapterError, match=r"weight_name.*first\.safetensors, second"):
        find(adapter)
    (adapter / "config.json").write_text("{}")
    with pytest.raises(AdapterError, match="whole model"):
        find(adapter)
    with pytest.raises(ModelNotFound):
        find(tmp_path / "nowhere")
    with pytest.raises(ModelNotFound):
        find(tmp_path / "nowhere.safetensors")
    with pytest.raises(ModelNotFound):
        find("~nobody-of-that-name/x")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "trained along"),
        ({"bias": "all"}, "biases"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"r": "x" * 500}, "r is"),
        ({"lora_alpha": -1}, "lora_alpha"),
        ({"alpha_pattern": {"(a+)+$": 1}}, "alpha_pattern"),
        ({"alpha_pattern": {"q_proj": "x"}}, "q_proj is x"),
        ({"alpha_pattern": [1]}, "alpha_pattern"),
        ({"megatron_config": {"a": 1}, "megatron_core": "os"}, "Megatron"),
        ({"deep": json.loads("[" * 50 + "]" * 50)}, "nested"),
        ({"long": "x" * 1_100_000}, "at most"),
    ],
)
def test_a_config_that_is_not_understood(adapter, values, said):
    tiny_adapters.change(adapter, **values)
    with pytest.raises(AdapterError, match=said) as caught:
        find(adapter)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("text", ["[1]", '{"half', "[" * 100_000, "\xff", ""])
def test_a_config_that_is_no_json(adapter, text):
    (adapter / "adapter_config.json").write_text(text, encoding="latin-1")
    with pytest.raises(AdapterError):
        find(adapter)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (one_pair(rank=4096), "rank 4,096"),
        ({"a.lora_A.weight": torch.zeros(2, 8)}, "only one"),
        ({"a.lora_A.weight": torch.zeros(2, 8), "a.lora_B.weight": torch.zeros(8, 3)}, "do not fit"),
        ({"a.lora_A.weight": torch.zeros(8), "a.lora_B.weight": torch.zeros(8)}, "do not fit"),
        (one_pair() | {"lm_head.weight": torch.zeros(2, 2)}, r"1 tensors.*lm_head"),
        ({"lm_head.weight": torch.zeros(2, 2)}, "no LoRA matrices"),
        ({key: value.int() for key, value in one_pair().items()}, "I32"),
        (one_pair(name="<script>"), "name that no model has"),
        (one_pair(name="a\u202eb"), "name that no model has"),
        (one_pair(name="x" * 400), "name that no model has"),
        (one_pair() | {"base_model.model.q_proj.lora_A.default.weight": torch.zeros(4, 8)}, "twice"),
    ],
)
def test_tensors_that_are_none_of_an_adapter(adapter, tensors, said):
    save_file(tensors, adapter / WEIGHTS)
    with pytest.raises(AdapterError, match=said):
        find(adapter)


def entry(shape=(2, 2), place=(0, 16), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(place)}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a.lora_A.weight": entry()}, b""),
        ({"a.lora_A.weight": entry((2**40, 2**40))}, b"0" * 16),
        ({"a.lora_A.weight": entry((-2, -2))}, b"0" * 16),
        ({"a.lora_A.weight": entry((2, 2.0))}, b"0" * 16),
        ({"a.lora_A.weight": entry(), "a.lora_B.weight": entry()}, b"0" * 16),
        ({"a.lora_A.weight": entry(), "a.lora_B.weight": entry(place=(20, 36))}, b"0" * 36),
        ({"a.lora_A.weight": {"dtype": "F32"}}, b""),
        ({"a.lora_A.weight": 7}, b""),
        ({f"a{i}.lora_A.weight": entry((0,), (0, 0)) for i in range(20_001)}, b""),
        (b"[" * 100_000, b""),
        (b"", b"0" * 16),
        (b"{}", b""),
    ],
)
def test_headers_that_lie(adapter, header, data):
    write(adapter / WEIGHTS, header, data)
    with pytest.raises(AdapterError):
        find(adapter)


@pytest.mark.parametrize(
    "raw", [b"", b"1234567", b"\xff" * 64, (10**12).to_bytes(8, "little") + b"{}", b"<html></html>"]
)
def test_files_that_are_no_safetensors(adapter, raw):
    (adapter / WEIGHTS).write_bytes(raw)
    with pytest.raises(AdapterError):
        find(adapter)


def test_a_file_that_was_cut(adapter):
    (adapter / WEIGHTS).write_bytes((adapter / WEIGHTS).read_bytes()[:-10])
    with pytest.raises(AdapterError, match="damaged"):
        find(adapter)


def test_a_file_that_is_too_large(adapter):
    with (adapter / WEIGHTS).open("r+b") as opened:
        opened.truncate(20_000_000_000)
    with pytest.raises(AdapterError, match=r"20\.0 GB, and at most 2\.0"):
        find(adapter)
    (adapter / WEIGHTS).unlink()


# The Hub


def test_an_adapter_of_the_hub(hub, adapter):
    found = find("owner/pirate", revision="main")
    assert (found.name, found.base, found.rank) == ("pirate", "owner/chat", 4)
    assert found.file.read_bytes() == (adapter / WEIGHTS).read_bytes()
    assert found.path == found.file.parent


def test_the_card_of_the_hub_tells_the_base_before_anything_is_fetched(hub, adapter):
    (adapter / "adapter_config.json").unlink()
    hub.cards["owner/pirate"] = {"base_model": "owner/other"}
    assert base_of(AdapterSpec("owner/pirate")) == "owner/other"
    assert not hub.fetched(WEIGHTS)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda hub, folder: hub.sizes.update({WEIGHTS: 20_000_000_000}),
        lambda hub, folder: tiny_adapters.change(folder, use_dora=True),
        lambda hub, folder: tiny_adapters.change(folder, long="x" * 1_100_000),
        lambda hub, folder: save_file(one_pair(rank=4096, side=4096), folder / WEIGHTS),
        lambda hub, folder: (folder / WEIGHTS).write_bytes(b"<html>" * 200_000),
        lambda hub, folder: write(folder / WEIGHTS, b"[" * 90_000, bytes(10**7)),
        lambda hub, folder: write(folder / WEIGHTS, {"a.lora_A.weight": entry()}, bytes(20_000_000)),
    ],
)
def test_on_the_hub_it_is_refused_before_it_is_fetched(hub, adapter, spoil):
    spoil(hub, adapter)
    with pytest.raises(AdapterError):
        find("owner/pirate")
    assert hub.sent < 200_000


def test_pickles_on_the_hub(hub, adapter):
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    with pytest.raises(UnsafeWeights):
        find("owner/pirate")
    assert not hub.fetched("")


def test_what_is_not_there_or_not_allowed(hub):
    with pytest.raises(ModelNotFound):
        find("owner/pirat")
    with pytest.raises(ModelNotFound, match="revision"):
        find("owner/pirate", revision="v9")
    hub.gated.add("owner/pirate")
    with pytest.raises(GatedModel):
        find("owner/pirate")
    assert find("owner/pirate", token=GOOD_TOKEN).rank == 4
    hub.status = 503
    with pytest.raises(ModelError):
        find("owner/other")


def test_what_was_fetched_before_is_found_without_the_hub(hub):
    first = find("owner/pirate")
    hub.status = 503
    assert find("owner/pirate").sha256 == first.sha256


def test_a_hub_that_says_another_size(hub):
    hub.sizes[WEIGHTS] = 5_000
    with pytest.raises(AdapterError, match="size that it says"):
        find("owner/pirate")


# The base


def test_it_fits_its_base(adapter):
    check_base(find(adapter), "owner/chat", SHAPES)
    check_base(find(adapter), "someone/Chat-bnb-4bit", SHAPES)
    check_base(find(adapter), "a folder", SHAPES)


def test_another_base_is_named(adapter):
    with pytest.raises(AdapterMismatch, match=r'"owner/chat".*"owner/other"'):
        check_base(find(adapter), "owner/other", SHAPES)
    check_base(find(adapter), "owner/other", SHAPES, any_base=True)


def test_layers_that_are_not_there_or_of_another_size(adapter):
    with pytest.raises(AdapterMismatch, match=r"14 of 14 layers not.*owner|owner.*14 of 14 layers not"):
        check_base(find(adapter), "owner/chat", {})
    shapes = SHAPES | {"model.layers.0.self_attn.q_proj": (64, 64)}
    with pytest.raises(AdapterMismatch, match=r"q_proj is \[32, 32\] in the adapter and \[64, 64\]"):
        check_base(find(adapter), "owner/chat", shapes)


# The shelf


class Loads:
    """Remembers what is loaded, and fails where it should."""

    def __init__(self):
        self.here, self.fails = [], False

    def load(self, adapter, internal):
        if self.fails:
            raise AdapterError("No.")
        self.here.append(internal)

    def drop(self, internal):
        self.here.remove(internal)


@pytest.fixture
def three(adapter):
    one = find(adapter)
    return [Adapter(**(vars(one) | {"name": name, "sha256": name})) for name in ("pirate", "terse", "poet")]


def test_a_name_that_is_not_there_gets_a_hint(three):
    shelf = Shelf(three)
    assert shelf.names == ("pirate", "terse", "poet")
    assert shelf.get("poet") is three[2]
    with pytest.raises(RequestError, match='Did you mean "pirate"'):
        shelf.get("pirat")
    with pytest.raises(RequestError, match="There are: pirate, terse, poet"):
        shelf.get("z" * 4000)
    with pytest.raises(RequestError, match="has none"):
        Shelf([]).get("pirate")


def test_two_of_a_name(three):
    with pytest.raises(UsageError, match="pirate"):
        Shelf([three[0], three[0]])


def test_what_was_used_longest_ago_makes_room(three):
    shelf, loads = Shelf(three, room=2), Loads()
    names = [shelf.need([one], loads.load, loads.drop)[one.sha256] for one in three[:2]]
    shelf.need(three[:1], loads.load, loads.drop)
    shelf.need(three[2:], loads.load, loads.drop)
    assert loads.here == [names[0], "a2"]
    shelf.forget(three, loads.drop)
    assert loads.here == []


def test_what_a_call_needs_stays_even_where_there_is_no_room(three):
    shelf, loads = Shelf(three, room=1), Loads()
    assert len(set(shelf.need(three, loads.load, loads.drop).values())) == 3
    shelf.need(three[:1], loads.load, loads.drop)
    assert len(loads.here) == 3
    shelf.forget(three[:1], loads.drop)
    shelf.need(three[:1], loads.load, loads.drop)
    assert len(loads.here) == 1


def test_a_failure_leaves_the_rest(three):
    shelf, loads = Shelf(three), Loads()
    shelf.keep(three[0], loads.load)
    loads.fails = True
    with pytest.raises(AdapterError):
        shelf.need(three, loads.load, loads.drop)
    loads.fails = False
    assert shelf.need(three, loads.load, loads.drop).keys() == {"pirate", "terse", "poet"}
    shelf.forget(three, loads.drop)
    assert loads.here == ["a0"]
