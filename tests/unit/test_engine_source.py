"""Where a text engine's model comes from, and every way in which it cannot be used."""

import json
import shutil
import socket
from pathlib import Path

import huggingface_hub.constants
import pytest
import tiny_text
import transformers
from hub_stand_in import GOOD_TOKEN, commit_of, serve

from zerokit.engines.text import TextEngine
from zerokit.errors import (
    GatedModel,
    ModelError,
    ModelNotFound,
    NoChatTemplate,
    NoWeights,
    RemoteCode,
    UnsafeWeights,
    UsageError,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    tokens = tiny_text.tokenizer()
    return tiny_text.save(tmp_path_factory.mktemp("models") / "chat", tokens, tiny_text.random_model(tokens))


@pytest.fixture
def model(saved, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "owner" / "chat"))


@pytest.fixture
def hub(model, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serve(tmp_path) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def change(folder: Path, name: str, **values) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


# A folder


def test_a_folder_is_loaded_by_text_and_by_path(model):
    assert TextEngine(model).name == TextEngine(str(model)).name == "chat"


def test_a_folder_that_is_not_there_names_the_nearest(model):
    with pytest.raises(ModelNotFound, match='"chat"'):
        TextEngine(model.parent / "chet")
    with pytest.raises(ModelNotFound, match=r"\.\./nowhere/at all"):
        TextEngine("../nowhere/at all")


@pytest.mark.parametrize("name", ["", "   ", None, 7, ["a"]])
def test_what_is_no_name_is_a_usage_error(name):
    with pytest.raises(UsageError):
        TextEngine(name)


@pytest.mark.parametrize("name", ["a/b/c", "owner/na me", "owner/--", "o\x00wner/x", "x" * 5000])
def test_what_cannot_be_a_repository_is_said_so_without_asking_the_hub(name):
    with pytest.raises(ModelNotFound) as caught:
        TextEngine(name)
    assert len(caught.value.message) < 300


def test_an_address_is_turned_into_a_name_and_its_token_hidden():
    with pytest.raises(ModelNotFound, match='"owner/name"') as caught:
        TextEngine("https://me:hf_secretsecret@huggingface.co/owner/name")
    assert "secret" not in str(caught.value)


def test_a_file_is_not_a_model(model):
    with pytest.raises(ModelNotFound, match="is a file"):
        TextEngine(model / "model.safetensors")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_pickles_are_refused(model, name):
    (model / "model.safetensors").rename(model / name)
    with pytest.raises(UnsafeWeights, match=name):
        TextEngine(model)


def test_no_weights(model):
    (model / "model.safetensors").unlink()
    with pytest.raises(NoWeights, match=r"config\.json"):
        TextEngine(model)


def test_a_missing_shard_is_named(model):
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    (model / "model.safetensors").rename(model / "model-1.safetensors")
    with pytest.raises(NoWeights, match=r"1 of 2 .*model-2"):
        TextEngine(model)


def test_a_pointer_is_not_weights(model):
    (model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(NoWeights, match="git lfs pull"):
        TextEngine(model)


def test_damaged_weights(model):
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ModelError, match="damaged") as caught:
        TextEngine(model)
    assert caught.value.__cause__ is not None


def test_tensors_that_are_missing_are_not_made_up(model):
    change(model, "config.json", num_hidden_layers=3)
    with pytest.raises(NoWeights, match="lack 9 tensors"):
        TextEngine(model)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_broken_json(model, name):
    (model / name).write_text('{"half')
    with pytest.raises(ModelError, match="chat"):
        TextEngine(model)


def test_no_tokenizer(model):
    for file in model.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="no tokenizer"):
        TextEngine(model)


def test_no_chat_template(model):
    (model / "chat_template.jinja").unlink()
    with pytest.raises(NoChatTemplate):
        TextEngine(model)


def test_code_of_its_own_is_refused_unless_trusted(model):
    code = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"}
    change(model, "config.json", model_type="own", auto_map=code)
    with pytest.raises(RemoteCode):
        TextEngine(model)
    (model / "own.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
        "class Own(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    assert type(TextEngine(model, trust_remote_code=True).model).__name__ == "Own"


@pytest.mark.parametrize(
    ("kind", "says"), [("newest", f"transformers {transformers.__version__}"), ("clip", "does not write text")]
)
def test_other_architectures(model, kind, says):
    change(model, "config.json", model_type=kind)
    with pytest.raises(ModelError, match=says):
        TextEngine(model)


@pytest.mark.parametrize(
    ("name", "says"), [("model_index.json", "ZeroDiffusion"), ("adapter_config.json", "base/x"), ("x.gguf", "GGUF")]
)
def test_other_kinds_of_repositories(model, name, says):
    (model / "config.json").unlink()
    (model / name).write_text('{"base_model_name_or_path": "base/x"}')
    with pytest.raises(ModelError, match=says):
        TextEngine(model)


def test_a_quantizer_that_is_not_installed_is_named(model):
    with pytest.raises(ModelError, match=r"(?i)bitsandbytes"):
        TextEngine(model, quantization=transformers.BitsAndBytesConfig(load_in_4bit=True))


# The Hub


def test_a_repository_is_fetched_once_and_only_what_is_needed(hub, model):
    (model / "pytorch_model.bin").write_bytes(b"x" * 100)
    (model / "original").mkdir()
    shutil.copy(model / "model.safetensors", model / "original" / "consolidated.safetensors")
    assert TextEngine("owner/chat").name == "owner/chat"
    assert len(hub.fetched("model.safetensors")) == 1
    assert not hub.fetched(".bin")
    assert not hub.fetched("consolidated.safetensors")
    TextEngine("owner/chat", revision=commit_of("owner/chat"))
    assert len(hub.fetched("model.safetensors")) == 1


def test_checks_come_before_the_weights(hub, model):
    (model / "chat_template.jinja").unlink()
    with pytest.raises(NoChatTemplate):
        TextEngine("owner/chat")
    assert not hub.fetched(".safetensors")


def test_no_such_repository(hub):
    with pytest.raises(ModelNotFound, match="owner/chit"):
        TextEngine("owner/chit")
    with pytest.raises(ModelNotFound, match="embedded"):
        TextEngine("embeded")


def test_no_such_revision(hub):
    with pytest.raises(ModelNotFound, match="v9"):
        TextEngine("owner/chat", revision="v9")


def test_a_gated_repository_asks_for_access_and_keeps_the_token_to_itself(hub, caplog):
    hub.gated.add("owner/chat")
    with pytest.raises(GatedModel, match="/owner/chat") as caught:
        TextEngine("owner/chat", token="hf_wrongwrongwrong")
    shown = [str(caught.value), repr(caught.value), caplog.text]
    cause = caught.value
    while cause := cause.__cause__:
        shown.append(str(cause))
    assert "wrongwrong" not in "".join(shown)
    engine = TextEngine("owner/chat", token=GOOD_TOKEN)
    assert GOOD_TOKEN not in str(vars(engine))


def test_a_private_repository_looks_as_if_it_were_not_there(hub):
    hub.private.add("owner/chat")
    with pytest.raises(ModelNotFound, match="private"):
        TextEngine("owner/chat")
    TextEngine("owner/chat", token=GOOD_TOKEN)


def test_without_the_hub_what_was_fetched_before_is_used(hub, monkeypatch):
    TextEngine("owner/chat")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert TextEngine("owner/chat").name == "owner/chat"
        with pytest.raises(ModelError, match="cannot be reached"):
            TextEngine("owner/other")


def test_a_hub_that_fails(hub):
    hub.status = 500
    with pytest.raises(ModelError, match="cannot be reached"):
        TextEngine("owner/chat")
    hub.status = 429
    with pytest.raises(ModelError, match="429"):
        TextEngine("owner/chat")
