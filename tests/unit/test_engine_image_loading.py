"""Where an image engine's pipeline comes from, and every way in which it cannot be used."""

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import tiny_image
import torch
from diffusers import (
    AutoPipelineForText2Image,
    FluxPipeline,
    PipelineQuantizationConfig,
    QwenImagePipeline,
    ZImagePipeline,
)
from hub_stand_in import serve
from safetensors.torch import load_file, save_file

from zerokit.engines import abilities
from zerokit.engines.image import ImageEngine
from zerokit.errors import ModelError, NoWeights, RemoteCode, UnsafeWeights, UsageError

UNET = "unet/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tiny_image.make("lcm", tmp_path_factory.mktemp("models") / "image")


@pytest.fixture
def model(saved, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "owner" / "image"))


@pytest.fixture
def hub(model, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with serve(tmp_path) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def change(folder: Path, name: str, **values) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def drop_tensors(file: Path, ending: str) -> None:
    tensors = {name: tensor for name, tensor in load_file(file).items() if not name.endswith(ending)}
    save_file(tensors, file, metadata={"format": "pt"})


# What is loaded


def test_the_weights_are_there_once_in_the_compute_dtype(model):
    engine = ImageEngine(model)
    assert engine.name == "image"
    assert engine.parameters == sum(tensor.numel() for tensor in load_file(model / UNET).values())
    size = sum(t.numel() * t.element_size() for file in model.glob("*/*.safetensors") for t in load_file(file).values())
    assert size <= engine.packed_bytes <= size * 1.1
    for mode in engine.abilities.modes:
        pipe = engine.pipeline(mode)
        assert pipe.unet is engine.pipe.unet
        assert pipe.scheduler is not engine.pipe.scheduler
    assert {p.dtype for part in (engine.pipe.unet, engine.pipe.vae) for p in part.parameters()} == {torch.float32}


def test_dtypes(model):
    auto = ImageEngine(model, dtype="auto")
    assert auto.packed_bytes == ImageEngine(model).packed_bytes
    assert ImageEngine(model, dtype="float32").packed_bytes > 1.9 * auto.packed_bytes
    with pytest.raises(UsageError, match="float16"):
        ImageEngine(model, dtype="half")


def test_the_weights_are_those_of_the_files(model):
    engine = ImageEngine(model)
    for name, tensor in load_file(model / UNET).items():
        assert torch.equal(engine.pipe.unet.state_dict()[name], tensor.float())
    stored, loaded = load_file(model / TEXT), engine.pipe.text_encoder.state_dict()
    assert all(any(torch.equal(tensor.float(), own) for own in loaded.values()) for tensor in stored.values())


# What it can do


def test_abilities():
    assert tiny_image.engine("lcm").abilities == abilities.Abilities(
        family="LatentConsistencyModelPipeline",
        modes=frozenset({"text", "image"}),
        negative_prompt=False,
        guidance=8.5,
        steps=4,
        width=32,
        height=32,
        multiple=8,
        max_prompt_tokens=24,
        schedulers=("LCM",),
        safety_checker=False,
    )
    flux = tiny_image.engine("flux").abilities
    assert (flux.negative_prompt, flux.guidance, flux.multiple, flux.schedulers) == (
        False,
        3.5,
        4,
        ("FlowMatchEulerDiscrete",),
    )
    assert tiny_image.engine("pixart-sigma").abilities.modes == {"text"}
    assert "EulerDiscrete" in tiny_image.engine("pixart-sigma").abilities.schedulers
    assert tiny_image.engine("stable-diffusion-3").abilities.modes == {"text", "image", "inpaint"}


@pytest.mark.parametrize(
    ("cls", "name"),
    [(FluxPipeline, "guidance_scale"), (QwenImagePipeline, "true_cfg_scale"), (ZImagePipeline, "guidance_scale")],
)
def test_what_guidance_is_called(cls, name):
    assert abilities.guidance_parameter(cls) == name


def test_an_inpainting_model_only_inpaints(tmp_path):
    pipe = tiny_image.stable_diffusion(in_channels=9)
    engine = ImageEngine(tiny_image.save(pipe, tmp_path))
    assert engine.abilities.modes == {"inpaint"}


def test_a_pipeline_saved_for_another_mode_makes_pictures_too(model):
    change(model, "model_index.json", _class_name="LatentConsistencyModelImg2ImgPipeline")
    assert ImageEngine(model).abilities.family == "LatentConsistencyModelPipeline"


def test_a_trained_schedule_without_signal_is_run_with_no_other(tmp_path):
    pipe = tiny_image.stable_diffusion()
    pipe.scheduler = type(pipe.scheduler)(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing", clip_sample=False
    )
    names = ImageEngine(tiny_image.save(pipe, tmp_path)).abilities.schedulers
    assert names[0] == "DDIM"
    assert "EulerDiscrete" in names
    assert not {"PNDM", "HeunDiscrete", "DEISMultistep"} & set(names)


CARD = "---\ninference:\n  parameters:\n    num_inference_steps: 10\n    guidance_scale: 3\n---\n# A model\n"


@pytest.mark.parametrize(
    ("card", "steps", "guidance"),
    [
        (CARD, 10, 3),
        (CARD.replace("10", "true").replace("3", "'3'"), 4, 8.5),
        (CARD.replace("10", "100000").replace(": 3", ": .nan"), 4, 8.5),
        ("---\ninference: false\n---\n", 4, 8.5),
        ("---\ninference:\n- parameters\n---\n", 4, 8.5),
        ("---\n- a\n---\n", 4, 8.5),
        ("---\n{{{\n---\n", 4, 8.5),
        ("# no front matter", 4, 8.5),
        ("", 4, 8.5),
    ],
)
def test_a_card_recommends(model, card, steps, guidance):
    (model / "README.md").write_text(card)
    found = ImageEngine(model).abilities
    assert (found.steps, found.guidance) == (steps, guidance)


# Variants


def half_named(model: Path) -> None:
    for file in model.glob("*/*.safetensors"):
        shutil.copy(file, file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")))


def test_half_precision_files_are_fetched_where_all_have_them(hub, model):
    half_named(model)
    (model / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"x")
    (model / "image.safetensors").write_bytes(b"x" * 100)
    assert ImageEngine("owner/image").name == "owner/image"
    assert len(hub.fetched(".fp16.safetensors")) == len(hub.fetched(".safetensors")) == 3
    assert not hub.fetched(".bin")


def test_whole_files_are_taken_where_one_has_no_half(hub, model):
    half_named(model)
    (model / UNET.replace(".safetensors", ".fp16.safetensors")).unlink()
    ImageEngine("owner/image")
    assert not hub.fetched(".fp16.safetensors")
    assert len(hub.fetched(".safetensors")) == 3


def test_half_precision_files_alone_are_enough_for_any_dtype(model):
    half_named(model)
    for file in model.glob("*/*.safetensors"):
        if ".fp16" not in file.name:
            file.unlink()
    assert ImageEngine(model, dtype="bfloat16").packed_bytes == ImageEngine(model).packed_bytes


def test_what_was_fetched_before_is_used_without_the_hub(hub, model):
    ImageEngine("owner/image")
    hub.status = 500
    assert ImageEngine("owner/image").name == "owner/image"
    with pytest.raises(ModelError, match="cannot be reached"):
        ImageEngine("owner/other")


def test_checks_come_before_the_weights(hub, model):
    (model / UNET).unlink()
    with pytest.raises(NoWeights, match="unet"):
        ImageEngine("owner/image")
    assert not hub.fetched(".safetensors")


# What cannot be used


@pytest.mark.parametrize(
    ("files", "error", "says"),
    [
        ({"adapter_config.json": '{"base_model_name_or_path": "base/x"}'}, ModelError, "adapter. Load base/x"),
        ({"config.json": '{"architectures": ["LlamaForCausalLM"]}'}, ModelError, "Use it with ZeroChat"),
        ({"config.json": '{"model_type": "clip"}'}, ModelError, "is a clip model"),
        ({"config.json": '{"_class_name": "UNet2DConditionModel"}'}, ModelError, "one part of a pipeline"),
        ({"sd15.safetensors": "x"}, ModelError, "single-file checkpoint: sd15.safetensors"),
        ({"pytorch_lora_weights.safetensors": "x"}, ModelError, "is an adapter"),
        ({"x.gguf": "x"}, NoWeights, "GGUF"),
        ({"README.md": "x"}, NoWeights, "no model_index.json"),
        ({"model_index.json": "{half"}, ModelError, "not valid JSON"),
        ({"model_index.json": "{}"}, ModelError, "names no pipeline"),
        ({"model_index.json": '{"_class_name": "NewestPipeline"}'}, ModelError, "diffusers .* does not know"),
        ({"model_index.json": '{"_class_name": "WanPipeline"}'}, ModelError, "makes videos"),
        ({"model_index.json": '{"_class_name": "HeliosPipeline"}'}, ModelError, "makes videos"),
        ({"model_index.json": '{"_class_name": "StableAudioPipeline"}'}, ModelError, "does not make pictures"),
        ({"model_index.json": '{"_class_name": "FluxControlPipeline"}'}, ModelError, "steered"),
        ({"model_index.json": '{"_class_name": ["own", "Own"]}'}, ModelError, "code of its own"),
        (
            {"model_index.json": '{"_class_name": "FluxPipeline"}'},
            ModelError,
            "is a part of a FluxPipeline: .*transformer",
        ),
        ({"model_index.json": '{"_class_name": "KandinskyV22Pipeline"}'}, ModelError, "has no .*prior_prior"),
    ],
)
def test_other_kinds_of_repositories(tmp_path, files, error, says):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(error, match=says):
        ImageEngine(tmp_path)


def test_pickles_are_refused(model):
    (model / UNET).rename(model / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(UnsafeWeights, match=r"unet/diffusion_pytorch_model\.bin"):
        ImageEngine(model)


def test_a_missing_shard_is_named(model):
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (model / f"{UNET}.index.json").write_text(json.dumps(index))
    (model / UNET).rename(model / "unet" / "one.safetensors")
    with pytest.raises(NoWeights, match=r"1 of 2 .*unet/two\.safetensors"):
        ImageEngine(model)


def test_a_pointer_is_not_weights(model):
    (model / UNET).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(NoWeights, match="git lfs pull"):
        ImageEngine(model)


def test_damaged_weights(model):
    (model / UNET).write_bytes((model / UNET).read_bytes()[:2000])
    with pytest.raises(ModelError, match="damaged"):
        ImageEngine(model)


@pytest.mark.parametrize(("file", "ending"), [(UNET, "conv_in.weight"), (TEXT, "final_layer_norm.weight")])
def test_tensors_that_are_missing_are_not_made_up(model, file, ending):
    drop_tensors(model / file, ending)
    with pytest.raises(ModelError, match=r"conv_in|final_layer_norm"):
        ImageEngine(model)


def test_a_part_with_code_of_its_own_is_refused(model):
    index = json.loads((model / "model_index.json").read_text())
    change(model, "model_index.json", unet=["own_unet", index["unet"][1]])
    with pytest.raises(RemoteCode, match="unet"):
        ImageEngine(model)


def test_a_class_that_is_newer_than_the_libraries(model):
    change(model, "model_index.json", text_encoder=["transformers", "NewestModel"])
    with pytest.raises(ModelError, match="NewestModel, which transformers does not have"):
        ImageEngine(model)


def test_a_class_that_transformers_renamed_is_found(tmp_path):
    folder = tiny_image.make("stable-diffusion-safe", tmp_path)
    change(folder, "model_index.json", feature_extractor=["transformers", "CLIPFeatureExtractor"])
    assert ImageEngine(folder).abilities.safety_checker


def test_a_quantizer_that_is_not_installed_is_named(model):
    settings = PipelineQuantizationConfig(
        quant_backend="bitsandbytes_4bit", quant_kwargs={"load_in_4bit": True}, components_to_quantize=["unet"]
    )
    with pytest.raises(ModelError, match=r"(?i)bitsandbytes"):
        ImageEngine(model, quantization=settings)


def test_the_families_of_the_tests_are_those_of_diffusers(tmp_path):
    assert AutoPipelineForText2Image.from_pretrained(tiny_image.make("flux", tmp_path)).__class__ is FluxPipeline
