"""What visitors bring: only what everybody can see, checked before it is used, and gone afterwards."""

import json
import math
import os
import shutil
import tempfile
from pathlib import Path

import huggingface_hub.constants
import pytest
import tiny_adapters
import tiny_text
from hub_stand_in import GOOD_TOKEN, serve
from test_shelf import changed, write

from zerokit.adapters import AdapterSpec
from zerokit.blocks import guests
from zerokit.blocks.guests import MAX_OWN, Guests, forget
from zerokit.engines.shelf import check_base, find_adapter
from zerokit.errors import AdapterError, AdapterMismatch, ModelError, RequestError, UnsafeWeights, ZeroKitError

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
MODEL = tiny_text.random_model(tiny_text.tokenizer())
SHAPES = {name: tuple(m.weight.shape) for name, m in MODEL.named_modules() if hasattr(m, "weight")}


class Engine:
    """What of an engine is needed to find an adapter."""

    adapters = ()

    def find_adapter(self, spec, **more):
        adapter = find_adapter(AdapterSpec.of(spec), kind="text", **more)
        check_base(adapter, "owner/base", SHAPES)
        return adapter


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tiny_adapters.save(tmp_path_factory.mktemp("adapters") / "pirate", MODEL, base="owner/base")


@pytest.fixture
def repo(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "hub" / "owner" / "pirate"))


@pytest.fixture
def hub(repo, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serve(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)  # the Space's own
        yield hub


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where temporary folders are; whatever is refused leaves none."""
    home = tmp_path / "temporary"
    home.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    return home


@pytest.fixture
def door():
    return Guests(Engine())


def sent(saved, folder, *names):
    """Files as they lie after an upload."""
    folder.mkdir(exist_ok=True)
    return [str(shutil.copy(saved / name, folder / name)) for name in names]


def test_a_repository_is_fetched_into_a_folder_of_its_own_and_goes_with_it(door, hub, home, tmp_path):
    guest = door.from_hub("owner/pirate")
    assert guest.adapter.name == "owner/pirate"
    assert guest.adapter.file.resolve().is_relative_to(guest.folder)
    assert guest.folder.parent == home
    assert not (tmp_path / "cache").exists()
    forget([guest])
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("named", ["owner/pirate/", " owner/pirate ", "https://huggingface.co/owner/pirate"])
def test_a_repository_may_be_written_otherwise(door, hub, home, named):
    assert door.from_hub(named).adapter.name == "owner/pirate"


def test_one_of_several_files(door, hub, repo, home):
    shutil.copy(repo / WEIGHTS, repo / "second.safetensors")
    assert door.from_hub("owner/pirate/second.safetensors").adapter.file.name == "second.safetensors"


@pytest.mark.parametrize("kind", ["private", "gated"])
def test_the_token_of_the_space_opens_nothing_for_a_visitor(door, hub, home, kind):
    getattr(hub, kind).add("owner/pirate")
    assert find_adapter(AdapterSpec("owner/pirate"), kind="text").rank == 4  # the Space itself may
    with pytest.raises(AdapterError, match=r"gated|that everybody can see"):
        door.from_hub("owner/pirate")
    assert list(home.iterdir()) == []


def test_what_the_space_has_fetched_is_not_given_away_while_the_hub_is_gone(door, hub, home):
    hub.private.add("owner/pirate")
    assert find_adapter(AdapterSpec("owner/pirate"), kind="text").rank == 4
    hub.status = 503
    assert find_adapter(AdapterSpec("owner/pirate"), kind="text").rank == 4  # from its cache
    with pytest.raises(AdapterError, match="could not be fetched from the Hub now"):
        door.from_hub("owner/pirate")


@pytest.mark.parametrize(
    "named",
    [
        "",
        " ",
        None,
        7,
        "pirate",
        "/etc/passwd",
        "../../etc/passwd",
        "owner/../pirate",
        "owner/pirate/../../x.safetensors",
        "..",
        "embedded",
        "embedded:chat-pirate",
        "C:\\x\\y",
        "file:///etc/passwd",
        "http://127.0.0.1/owner/pirate",
        "owner/pirate?x=1",
        "owner/<b>pirate</b>",
        "owner/pirate\n",
        "owner/pi\u202erate",
        "x" * 400 + "/y",
        "owner/" + "y" * 400,
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_is_no_repository(door, hub, home, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if named == "owner/pirate\n":  # is one, once the line's end is gone
        assert door.from_hub(named).adapter.name == "owner/pirate"
        return
    with pytest.raises((RequestError, ModelError)) as caught:
        door.from_hub(named)
    assert "/etc/passwd" not in str(caught.value) or "is no repository" in caught.value.message
    assert list(home.iterdir()) == []
    assert hub.fetched(".safetensors") == []


def test_a_folder_of_this_machine_is_not_looked_at(door, hub, home, saved, tmp_path, monkeypatch):
    shutil.copytree(saved, tmp_path / "here" / "secret")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AdapterError, match='There is no "here/secret" on the Hub'):
        door.from_hub("here/secret")


def spoil_pickle(repo, hub):
    (repo / WEIGHTS).rename(repo / "adapter_model.bin")


def spoil_empty(repo, hub):
    for file in repo.iterdir():
        file.unlink()
    (repo / "README.md").write_text("nothing")


def spoil_base(repo, hub):
    tiny_adapters.change(repo, base_model_name_or_path="owner/another")


def spoil_keys(repo, hub):
    (repo / WEIGHTS).unlink()
    pair = {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}
    header = {"x.lora_A.weight": pair, "x.lora_B.weight": {**pair, "data_offsets": [8, 16]}}
    write(repo / WEIGHTS, header, bytes(16))


def spoil_rank(repo, hub):
    (repo / WEIGHTS).unlink()
    side = 4096 * 8 * 2
    header = {
        "x.lora_A.weight": {"dtype": "F16", "shape": [4096, 8], "data_offsets": [0, side]},
        "x.lora_B.weight": {"dtype": "F16", "shape": [8, 4096], "data_offsets": [side, 2 * side]},
    }
    write(repo / WEIGHTS, header, bytes(2 * side))


def spoil_size(repo, hub):
    hub.sizes[WEIGHTS] = 20_000_000_000


def spoil_html(repo, hub):
    (repo / WEIGHTS).write_bytes(b"<html>Please sign in</html>" * 10)


REFUSED = [
    (spoil_pickle, UnsafeWeights, "pickle files only"),
    (spoil_empty, AdapterError, "has no adapter in it"),
    (spoil_base, AdapterMismatch, '"owner/another", and the model is "owner/base"'),
    (spoil_keys, AdapterMismatch, "has 1 of 1 layers not"),
    (spoil_rank, AdapterError, "rank 4,096"),
    (spoil_size, AdapterError, "has 20.0 GB, and at most 0.5 GB are loaded"),
    (spoil_html, AdapterError, "no safetensors file"),
]


@pytest.mark.parametrize(("spoil", "kind", "said"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_what_cannot_be_used_leaves_nothing(door, hub, repo, home, spoil, kind, said):
    spoil(repo, hub)
    with pytest.raises(kind) as caught:
        door.from_hub("owner/pirate")
    assert said in caught.value.message
    assert list(home.iterdir()) == []
    if spoil is not spoil_base and spoil is not spoil_keys:
        assert hub.fetched(WEIGHTS) == [] or hub.sent < 200_000


def test_files_that_are_uploaded_move_into_a_folder_of_their_own(door, saved, home, tmp_path):
    files = sent(saved, tmp_path / "uploads", WEIGHTS, CONFIG)
    guest = door.from_files(files)
    assert guest.adapter.name == "adapter_model"
    assert guest.adapter.base == "owner/base"
    assert not any(os.path.exists(file) for file in files)
    forget([guest])
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "names",
    [[], [CONFIG], [WEIGHTS, WEIGHTS], [CONFIG, CONFIG, WEIGHTS], ["adapter_model.bin"], [WEIGHTS, "run.py"]],
    ids=str,
)
def test_other_files_are_refused(door, home, names, tmp_path):
    with pytest.raises(RequestError, match=r"Upload one \.safetensors file"):
        door.from_files([tmp_path / str(number) / name for number, name in enumerate(names)])
    assert list(home.iterdir()) == []


def test_an_upload_that_is_gone_or_damaged(door, saved, home, tmp_path):
    with pytest.raises(RequestError, match="upload it again"):
        door.from_files([tmp_path / WEIGHTS])
    files = sent(saved, tmp_path / "uploads", WEIGHTS, CONFIG)
    Path(files[0]).write_bytes(Path(files[0]).read_bytes()[:1000])
    with pytest.raises(AdapterError):
        door.from_files(files)
    with pytest.raises(AdapterError, match=r"has no adapter_config\.json"):
        door.from_files(sent(saved, tmp_path / "uploads", WEIGHTS))
    assert list(home.iterdir()) == []


def test_a_config_that_is_too_large_or_no_config(door, saved, home, tmp_path):
    for text in ("[" * 100_000, json.dumps({"peft_type": "LORA", "x": "y" * 2_000_000}), "<b>"):
        files = sent(saved, tmp_path / "uploads", WEIGHTS, CONFIG)
        Path(files[1]).write_text(text)
        with pytest.raises(AdapterError, match=CONFIG):
            door.from_files(files)
    assert list(home.iterdir()) == []


def test_weights_that_are_not_finite_are_found_before_a_gpu_is_asked_for(door, saved, home, tmp_path):
    files = sent(saved, tmp_path / "uploads", WEIGHTS, CONFIG)
    changed(Path(files[0]), lambda tensors: {key: tensor * math.nan for key, tensor in tensors.items()})
    with pytest.raises(AdapterError, match="weights that are not finite"):
        door.from_files(files)
    assert list(home.iterdir()) == []


def test_names_that_are_taken_get_a_number(door, saved, home, tmp_path):
    one = door.from_files(sent(saved, tmp_path / "uploads", WEIGHTS, CONFIG))
    two = door.from_files(sent(saved, tmp_path / "uploads", WEIGHTS, CONFIG), [one])
    three = door.from_files(sent(saved, tmp_path / "uploads", WEIGHTS, CONFIG), [one, two])
    assert [guest.adapter.name for guest in (one, two, three)] == [
        "adapter_model",
        "adapter_model 2",
        "adapter_model 3",
    ]
    with pytest.raises(RequestError, match="You have 3 adapters of your own here, and at most 3"):
        door.from_files(sent(saved, tmp_path / "uploads", WEIGHTS, CONFIG), [one, two, three])
    assert MAX_OWN == 3


def test_a_name_that_is_uploaded_says_nothing_to_a_browser(door, saved, home, tmp_path):
    files = sent(saved, tmp_path / "uploads", WEIGHTS, CONFIG)
    strange = tmp_path / "uploads" / "<img src=x>.safetensors"
    Path(files[0]).rename(strange)
    assert door.from_files([strange, files[1]]).adapter.name == "-img src-x-"


def test_a_disk_without_room(door, hub, home, monkeypatch):
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(guests.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(AdapterError, match="no room on its disk"):
        door.from_hub("owner/pirate")
    assert list(home.iterdir()) == []


def test_a_disk_that_is_full_while_it_is_written(door, saved, home, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(guests.shutil, "move", full)
    with pytest.raises(AdapterError, match="no room on its disk"):
        door.from_files(sent(saved, tmp_path / "uploads", WEIGHTS, CONFIG))
    assert list(home.iterdir()) == []


def test_a_program_has_it_for_one_call(door, hub, home):
    with door.brought({"owner/pirate": 0.5, "other": 1}) as own:
        assert [guest.adapter.name for guest in own] == ["owner/pirate"]
        assert len(list(home.iterdir())) == 1
    assert list(home.iterdir()) == []
    with pytest.raises(ZeroKitError, match="at most 3"), door.brought(["owner/pirate"] * 4):
        raise AssertionError
    assert list(home.iterdir()) == []
    with door.brought(None) as own:
        assert own == []
