"""Which template `zerokit new` takes for a model, asked of a stand-in for the Hub through the real client."""

from __future__ import annotations

import json
import shutil

import huggingface_hub.constants
import pytest
from hub_stand_in import GOOD_TOKEN, serve
from huggingface_hub import metadata_load

from zerokit import cli, embedded
from zerokit.errors import (
    AdapterError,
    GatedModel,
    ModelError,
    ModelNotFound,
    NoChatTemplate,
    NoWeights,
    RemoteCode,
    UnsafeWeights,
    UsageError,
)
from zerokit.templates import choose


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small models as repositories: `me/talker`, `me/painter`, and an adapter for each."""
    root = tmp_path_factory.mktemp("hub")
    for name, source in [
        ("talker", "chat"),
        ("painter", "image"),
        ("pirate", "chat-pirate"),
        ("outline", "image-outline"),
    ]:
        shutil.copytree(embedded.path(source), root / "me" / name)
    change(root / "me/pirate/adapter_config.json", base_model_name_or_path="me/talker")
    return root


@pytest.fixture
def hub(models, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serve(models) as hub:
        hub.cards = {"me/outline": {"base_model": "me/painter"}}
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def repository(hub):
    """Makes a repository of the files that it is told, for one test."""
    made = []

    def make(name, **files):
        folder = hub.root / name
        folder.mkdir(parents=True)
        made.append(folder)
        for file, content in files.items():
            path = folder / file.replace("__", "/").replace("_json", ".json").replace("_st", ".safetensors")
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(content))
        return name

    yield make
    for folder in made:
        shutil.rmtree(folder)


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("asked", [None, "auto"])
@pytest.mark.parametrize(
    ("model", "template", "base"),
    [
        ("me/talker", "chat", None),
        ("me/painter", "diffusion", None),
        ("me/pirate", "lora-chat", "me/talker"),
        ("me/outline", "lora-diffusion", "me/painter"),
    ],
)
def test_the_template_is_that_of_the_models_kind(hub, asked, model, template, base):
    choice = choose(asked, model)
    assert (choice.template.name, choice.model.name, choice.model.base) == (template, model, base)
    assert hub.fetched(".safetensors") == []


@pytest.mark.parametrize(
    ("template", "model"),
    [
        ("batch", "me/talker"),
        ("gpu-function", "me/talker"),
        ("studio", "me/talker"),
        ("studio", "me/painter"),
        ("quota-component", "me/painter"),
    ],
)
def test_a_template_that_is_named_takes_a_model_of_its_kind(hub, template, model):
    assert choose(template, model).template.name == template


@pytest.mark.parametrize(
    ("template", "model", "said"),
    [
        ("chat", "me/painter", '"me/painter" makes pictures, which is not for chat. Use the template diffusion.'),
        ("diffusion", "me/talker", '"me/talker" writes text, which is not for diffusion. Use the template chat.'),
        ("chat", "me/pirate", '"me/pirate" is an adapter for a model that writes text, which is not for chat.'),
        ("lora-chat", "me/talker", '"me/talker" writes text, which is not for lora-chat. Use the template chat.'),
        ("lora-chat", "me/outline", "is an adapter for a model that makes pictures, which is not for lora-chat."),
        ("studio", "me/pirate", "Use the template lora-chat."),
    ],
)
def test_a_model_of_another_kind_is_refused_with_the_template_for_it(hub, template, model, said):
    with pytest.raises(UsageError) as refused:
        choose(template, model)
    assert said in refused.value.message


def test_a_model_that_is_not_there(hub):
    with pytest.raises(ModelNotFound, match="There is no model"):
        choose(None, "me/nobody")


def test_a_private_model_is_there_for_its_owner(hub, monkeypatch):
    hub.private.add("me/talker")
    with pytest.raises(ModelNotFound, match="or it is private"):
        choose(None, "me/talker")
    monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
    assert choose(None, "me/talker").template.name == "chat"


@pytest.mark.parametrize("model", ["me/talker", "me/painter", "me/pirate"])
def test_a_gated_model_is_there_for_whom_its_owner_has_let_in(hub, monkeypatch, model):
    hub.gated.add(model)
    with pytest.raises(GatedModel, match="grants access one by one"):
        choose(None, model)
    monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
    assert choose(None, model).model.name == model


def test_a_gated_base_is_told_of_its_adapter(hub):
    hub.gated.add("me/talker")
    with pytest.raises(
        GatedModel, match=r'"me/pirate" is an adapter for another model, which cannot be used\. .*"me/talker"'
    ):
        choose(None, "me/pirate")


def test_the_hub_does_not_answer(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="cannot be reached"):
        choose(None, "me/talker")


@pytest.mark.parametrize(
    ("files", "error", "said"),
    [
        ({}, NoWeights, "it has no config.json, no model_index.json and no adapter's"),
        ({"weights.gguf": 0}, NoWeights, "among its 1 files"),
        ({"config_json": {"model_type": "vit"}}, ModelError, "is a vit model, which does not write text"),
        ({"config_json": {"model_type": "nova-9"}}, ModelError, 'the architecture "nova-9"'),
        ({"config_json": []}, ModelError, "config.json"),
        (
            {"config_json": {"model_type": "x", "auto_map": {"AutoModelForCausalLM": "m.M"}}},
            RemoteCode,
            "code of its own",
        ),
        ({"config_json": {"model_type": "llama"}, "pytorch_model.bin": 0}, UnsafeWeights, "pickle files only"),
        ({"config_json": {"model_type": "llama"}}, NoWeights, "no model.safetensors"),
        ({"config_json": {"_class_name": "ControlNetModel"}}, ModelError, "one part of a pipeline (ControlNetModel)"),
        ({"model_index_json": {"_class_name": "WanPipeline"}}, ModelError, "makes videos"),
        ({"model_index_json": {"_class_name": "NoSuchPipeline"}}, ModelError, "does not know"),
        ({"some_lora_st": 0}, ModelError, "nothing in it says for which model"),
        ({"one_st": 0, "two_st": 0}, AdapterError, "has 2 files"),
        (
            {
                "adapter_config_json": {
                    "peft_type": "LORA",
                    "task_type": "CAUSAL_LM",
                    "base_model_name_or_path": "me/nobody",
                },
                "a_st": 0,
            },
            ModelNotFound,
            'is an adapter for another model, which cannot be used. There is no model "me/nobody"',
        ),
        (
            {
                "adapter_config_json": {
                    "peft_type": "LORA",
                    "task_type": "CAUSAL_LM",
                    "base_model_name_or_path": "me/painter",
                },
                "a_st": 0,
            },
            ModelError,
            'is an adapter for "me/painter", which is not a whole model of its kind',
        ),
        (
            {
                "adapter_config_json": {
                    "peft_type": "LORA",
                    "task_type": "CAUSAL_LM",
                    "base_model_name_or_path": "me/odd",
                },
                "a_st": 0,
            },
            ModelError,
            'is an adapter for "me/odd", which is not a whole model of its kind',
        ),
    ],
)
def test_what_no_template_serves_is_told_by_what_it_is(hub, repository, files, error, said):
    with pytest.raises(error) as refused:
        choose(None, repository("me/odd", **files))
    assert said in refused.value.message


def test_a_model_without_a_chat_template_is_for_a_function_and_not_for_a_chat(hub, repository):
    name = repository("me/base", config_json={"model_type": "llama"}, model_st=0, tokenizer_config_json={"a": 1})
    assert choose("gpu-function", name).model.name == name
    for template in (None, "chat", "batch", "studio"):
        with pytest.raises(NoChatTemplate, match="how a conversation is written down"):
            choose(template, name)


def test_the_command_fills_in_what_it_found(hub, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli_new("ours", "--model", "me/pirate", "--title", "Ahoy!")
    out = capsys.readouterr().out
    assert "ours: a chat with adapters to pick, mix and compare" in out
    assert "Its model: me/pirate, an adapter for me/talker" in out
    assert metadata_load("ours/README.md")["models"] == ["me/talker", "me/pirate"]


def test_the_command_leaves_nothing_of_a_model_that_cannot_be_used(hub, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_notthegoodonehere")
    with pytest.raises(SystemExit):
        cli_new("ours", "--model", "me/nobody")
    said = capsys.readouterr()
    assert said.err.startswith("No such model\n")
    assert "hf_not" not in said.out + said.err
    assert not (tmp_path / "ours").exists()


def cli_new(*args):
    try:
        cli.main(["new", *args])
    except SystemExit as exc:
        if exc.code:
            raise
