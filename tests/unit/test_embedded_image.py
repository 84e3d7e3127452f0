"""The embedded image model: what ships, what it draws, and that its recipe is deterministic."""

import json

import pytest
import torch
from diffusers import AutoPipelineForImage2Image
from PIL import ImageChops
from safetensors import safe_open

from zerokit import embedded
from zerokit.embedded import figures, image, image_figures, image_text, image_train
from zerokit.embedded.image_data import COLOURS, SHAPES, Scene, Thing, draw
from zerokit.embedded.image_evaluate import background_of, box_of, colour_of, count_of, shape_of
from zerokit.embedded.image_model import GUIDANCE, STEPS, train_tokenizer
from zerokit.embedded.image_prompts import Sampler
from zerokit.embedded.image_questions import plain, questions, shows

FOLDER = embedded.path("image")
WEIGHTS = sorted(FOLDER.rglob("*.safetensors"))


@pytest.fixture(scope="module")
def pipeline():
    return image_figures.load(FOLDER)


def test_the_folder_is_small_safe_and_readable():
    files = [file for file in FOLDER.rglob("*") if file.is_file()]
    assert not [file for file in files if file.suffix in (".bin", ".pt", ".pth", ".pkl")]
    assert figures.folder_bytes(FOLDER) <= 7_000_000
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in files)
    assert "image" in embedded.names()


@pytest.mark.parametrize("file", WEIGHTS, ids=lambda file: file.parent.name)
def test_the_weights_are_float16_on_disk(file):
    with safe_open(file, "pt") as weights:
        dtypes = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    assert dtypes <= {"F16", "I64"}
    assert "F16" in dtypes


def test_no_local_path_ships():
    for file in FOLDER.rglob("*.json"):
        assert "_name_or_path" not in json.loads(file.read_text(encoding="utf-8"))


def test_the_card_recommends_what_was_measured():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"num_inference_steps: {STEPS}\n" in card
    assert f"guidance_scale: {GUIDANCE}\n" in card


def test_it_loads_as_any_pipeline_does():
    from diffusers import DiffusionPipeline

    loaded = DiffusionPipeline.from_pretrained(FOLDER, dtype=torch.float16)
    assert {loaded.unet.dtype, loaded.vae.dtype, loaded.text_encoder.dtype} == {torch.float16}
    assert loaded.vae_scale_factor == 4
    assert loaded.unet.config.sample_size * loaded.vae_scale_factor == 64


def right(pipeline, asked):
    """Of all that is asked, the share that is seen on the pictures."""
    images = image_figures.make(pipeline, [prompt for prompt, _ in asked])
    return sum(shows(image, request) for image, (_, request) in zip(images, asked, strict=True)) / len(asked)


def test_it_draws_every_shape_in_every_colour(pipeline):
    assert right(pipeline, plain()) >= 0.95


@pytest.mark.parametrize("group", ["backgrounds", "two and three", "pairs of different", "places", "sizes"])
def test_it_draws_what_else_a_prompt_says(pipeline, group):
    asked = next(asked for name, asked in questions().items() if name.startswith(group))
    assert right(pipeline, asked[::8]) >= 0.75


def test_from_a_picture_it_changes_the_colour_and_keeps_the_layout(pipeline):
    """Shapes about the middle, as it draws them itself."""
    start = image_figures.make(pipeline, [f"a red {shape}" for shape in SHAPES])
    worker = AutoPipelineForImage2Image.from_pipe(pipeline)
    images = image_figures.make(worker, [f"a blue {shape}" for shape in SHAPES], image=start, strength=0.7)
    for shape, before, after in zip(SHAPES, start, images, strict=True):
        assert (shape_of(after), colour_of(after)) == (shape, "blue")
        assert image_figures.overlap(box_of(before), box_of(after)) > 0.6, shape


def test_in_a_part_of_a_picture_it_changes_only_that(pipeline):
    verdicts, images, scenes = image_figures.inpainted(pipeline, 12)
    assert sum(verdicts) >= 9
    assert image_figures.change(images, scenes) < 4


def test_a_seed_gives_the_same_picture(pipeline):
    prompts = ["a red circle", "a red circle"]
    first, second = image_figures.make(pipeline, prompts)
    again = image_figures.make(pipeline, prompts)[0]
    assert first.size == (64, 64)
    assert ImageChops.difference(first, again).getbbox() is None
    assert ImageChops.difference(first, second).getbbox() is not None


def test_capital_letters_make_no_difference(pipeline):
    assert pipeline.tokenizer("A RED Circle").input_ids == pipeline.tokenizer("a red circle").input_ids


def test_what_is_drawn_is_seen():
    for shape in SHAPES:
        for colour in COLOURS:
            background = "blue" if colour != "blue" else "yellow"
            picture = draw(Scene((Thing(shape, colour, 22, 40, 12),), background))
            assert (shape_of(picture), colour_of(picture)) == (shape, colour)
            assert (background_of(picture), count_of(picture)) == (background, 1)
            left, top, right, bottom = box_of(picture)
            assert abs((left + right) / 2 - 22) <= 1
            assert abs((top + bottom) / 2 - 40) <= 2


def test_every_scene_of_the_recipe_shows_its_request():
    sampler = Sampler(11)
    for _ in range(250):
        request = sampler.request()
        assert shows(draw(sampler.scene(request)), request), request


def test_a_picture_of_nothing_is_told():
    empty = draw(Scene(()))
    assert count_of(empty) == 0
    with pytest.raises(ValueError, match="nothing but its background"):
        colour_of(empty)


def test_prompts_are_the_same_for_a_seed():
    first, second = ([sampler.wording(sampler.request()) for _ in range(200)] for sampler in (Sampler(4), Sampler(4)))
    assert first == second


def test_a_training_repeats_itself_exactly():
    recipe = image_train.Recipe(
        seed=1, steps=2, batch=2, pool=4, autoencoder_steps=2, autoencoder_batch=2, decoder_steps=2,
        text_steps=2, text_batch=2, hidden=16, channels=(8, 8, 16),
    )  # fmt: skip
    first, second = (image_train.train(recipe, report=lambda line: None) for _ in range(2))
    assert first.losses == second.losses
    for part in ("vae", "text_encoder", "unet"):
        weights = getattr(second.pipeline, part).state_dict()
        for name, tensor in getattr(first.pipeline, part).state_dict().items():
            assert torch.equal(tensor, weights[name]), (part, name)


def test_refining_the_decoder_leaves_latents_alone():
    recipe = image_train.Recipe(autoencoder_steps=1, autoencoder_batch=2, decoder_steps=2)
    autoencoder = image_train.train_autoencoder(recipe, Sampler(0), lambda line: None)
    scenes = [Scene((Thing("star", "red"),))]
    before = image_train.encode(autoencoder, scenes)
    decoder = autoencoder.decoder.layers[0].weight.clone()
    image_train.refine_decoder(autoencoder, recipe, lambda line: None)
    assert torch.equal(image_train.encode(autoencoder, scenes), before)
    assert not torch.equal(autoencoder.decoder.layers[0].weight, decoder)


def test_the_text_encoder_learns_what_prompts_say():
    told = []
    encoder = image_text.train_text_encoder(
        train_tokenizer(), Sampler(5), hidden=32, steps=60, batch=16, report=told.append
    )
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert told[-1].startswith("text step    60  wholly understood")


def test_the_shipped_tokenizer_is_the_one_of_the_recipe(pipeline):
    assert train_tokenizer().get_vocab() == pipeline.tokenizer.get_vocab()


def test_the_command_line_knows_its_options(capsys):
    with pytest.raises(SystemExit):
        image.main(["--help"])
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--out", "--seed", "--steps", "--evaluate", "--sheet"))
