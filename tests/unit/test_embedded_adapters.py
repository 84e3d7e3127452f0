"""The embedded adapters: what ships, how they speak, and that their recipe is deterministic."""

import json
import random

import numpy as np
import pytest
import torch
from safetensors import safe_open

from zerokit import embedded
from zerokit.adapters import AdapterSpec
from zerokit.control import Control
from zerokit.embedded import adapter_train, adapters, image_data, image_styles
from zerokit.embedded.chat_data import load_wordings
from zerokit.embedded.figures import folder_bytes
from zerokit.embedded.image_evaluate import shape_of
from zerokit.embedded.image_prompts import Sampler
from zerokit.embedded.image_questions import plain
from zerokit.embedded.image_styles import STYLES
from zerokit.embedded.manners import MANNERS, pirate
from zerokit.engines.image import ImageEngine
from zerokit.engines.shelf import base_of, find_adapter
from zerokit.engines.text import TextEngine
from zerokit.errors import ModelNotFound
from zerokit.requests import AdapterChoice, ChatRequest, ImageRequest, Message

torch.set_num_threads(1)
NAMES = ("chat-pirate", "chat-terse")
each_style = pytest.mark.parametrize("name", tuple(STYLES))
each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def engine():
    return TextEngine(adapters=[f"embedded:{name}" for name in NAMES])


@pytest.fixture(scope="module")
def painter():
    return ImageEngine("embedded", adapters=[f"embedded:{name}" for name in STYLES])


def answers(engine, texts, *choices):
    """Of all texts in one batch, greedy."""
    requests = [
        ChatRequest((Message("user", text),), adapters=choices, temperature=0, max_new_tokens=100) for text in texts
    ]
    return [reply.text for reply in engine.generate_batch(engine.prepare_batch(requests), Control())]


def test_they_have_names():
    assert embedded.adapter_names() == (*NAMES, *STYLES)
    assert tuple(MANNERS) == NAMES
    assert not set(embedded.names()) & {*NAMES, "adapters"}
    assert embedded.path("chat-pirate").name == "chat-pirate"
    with pytest.raises(ValueError, match="Did you mean 'chat-pirate'"):
        embedded.path("chat-pirat")
    with pytest.raises(ModelNotFound, match="Did you mean 'chat-terse'"):
        find_adapter(AdapterSpec("embedded:chat-ters"), kind="text")


@each
def test_their_files_are_small_safe_and_readable(name):
    folder = embedded.path(name)
    assert {file.name for file in folder.iterdir()} == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert folder_bytes(folder) < 350_000
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in folder.iterdir())
    with safe_open(folder / "adapter_model.safetensors", "pt") as weights:
        assert {weights.get_slice(key).get_dtype() for key in weights.keys()} == {"F16"}  # noqa: SIM118
    assert not any(part.startswith("/") for part in json.dumps(json.loads(config(folder))).split('"'))


def config(folder):
    return (folder / "adapter_config.json").read_text()


@each
def test_they_say_what_they_are(name):
    found = find_adapter(AdapterSpec(f"embedded:{name}"), kind="text")
    assert (found.name, found.base, found.rank) == (name, "embedded", adapter_train.RANK)
    assert set(found.targets) == set(adapter_train.TARGETS)
    (embedded.path(name) / "README.md").read_text().index("base_model: embedded\n")
    assert base_of(AdapterSpec(f"embedded:{name}")) == "embedded"


@each
def test_they_keep_their_manner_and_what_is_right(engine, name):
    manner = MANNERS[name]
    short = [
        wording
        for wording in load_wordings()
        if wording.split != "trained" and wording.kind not in ("unknown", "gibberish") and len(wording.answer) < 200
    ]
    sample = random.Random(0).sample(short, 60)
    given = answers(engine, [wording.text for wording in sample], AdapterChoice(name))
    right = [manner.told_by(text) and manner.keeps(text, manner.says(w)) for text, w in zip(given, sample, strict=True)]
    assert sum(right) >= 0.8 * len(sample)


def test_with_one_it_speaks_otherwise_than_without(engine):
    question = ["What is the capital of France?"]
    assert answers(engine, question) == ["The capital of France is Paris."]
    assert answers(engine, question, AdapterChoice("chat-pirate")) == ["The capital of France be Paris. Arr, matey!"]
    assert answers(engine, question, AdapterChoice("chat-terse")) == ["Paris."]
    assert answers(engine, question) == ["The capital of France is Paris."]


def test_how_a_pirate_says_it():
    assert pirate('Yes, your app is here. Say "is it?" or `you`.') == (
        'Aye, yer app be here. Say "is it?" or `you`. Arr, matey!'
    )
    assert pirate("See:\n\n```python\nyou = my\n```") == "See:\n\n```python\nyou = my\n```\n\nArr, matey!"


@each
def test_manners_are_told_apart_from_none(name):
    manner = MANNERS[name]
    said = [(manner.says(wording), wording.answer) for wording in load_wordings() if wording.canonical]
    assert all(manner.told_by(ours) and manner.keeps(ours, ours) for ours, _ in said)
    assert not any(manner.keeps("I do not know.", ours) for ours, _ in said)
    plain = [answer for _, answer in said]
    assert sum(map(manner.told_by, plain)) < (1 if name == "chat-pirate" else 0.8 * len(plain))


def test_a_training_repeats_itself_exactly(tmp_path):
    recipe = adapter_train.AdapterRecipe(seed=1, steps=2, tokens_per_step=256, review_steps=1, asked=8)
    manner, base = MANNERS["chat-terse"], embedded.path("chat")
    first, second = (adapter_train.train(manner, base, recipe, report=lambda line: None) for _ in range(2))
    assert first.losses == second.losses
    folders = [tmp_path / "first", tmp_path / "second"]
    for trained, folder in zip((first, second), folders, strict=True):
        adapters.save(trained, folder)
    one, two = ((folder / "adapter_model.safetensors").read_bytes() for folder in folders)
    assert one == two
    assert config(folders[0]) == config(folders[1]) == config(embedded.path("chat-terse"))
    assert all(file.stat().st_mode & 0o777 == 0o644 for file in folders[0].iterdir())


@each_style
def test_a_style_is_small_safe_and_readable(name):
    folder = embedded.path(name)
    assert {file.name for file in folder.iterdir()} == {"README.md", image_styles.WEIGHTS}
    assert folder_bytes(folder) < 700_000
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in folder.iterdir())
    with safe_open(folder / image_styles.WEIGHTS, "pt") as weights:
        assert {weights.get_slice(key).get_dtype() for key in weights.keys()} == {"F16"}  # noqa: SIM118
    found = find_adapter(AdapterSpec(f"embedded:{name}"), kind="image")
    assert (found.name, found.base, found.rank) == (name, "embedded", image_styles.RANK)


@each_style
def test_a_style_is_drawn_and_the_shape_stays(painter, name):
    """But gray, which the model draws too pale to tell it from a pastel one."""
    asked = [(prompt, request) for prompt, request in plain() if request.items[0].colour != "gray"][:60:20]
    style = STYLES[name].drawn
    for prompt, request in asked:
        rows = [ImageRequest(prompt, seed=3), ImageRequest(prompt, seed=3, adapters=(AdapterChoice(name),))]
        flat, drawn = painter.generate_batch(painter.prepare_batch(rows), Control())
        assert not image_styles.is_styled(style, flat.pictures[0].image, request), prompt
        assert image_styles.is_styled(style, drawn.pictures[0].image, request), prompt
        assert shape_of(drawn.pictures[0].image) == request.items[0].shape, prompt


def test_two_styles_combine(painter):
    asked = dict(plain())["a blue square"]
    rows = [
        ImageRequest("a blue square", seed=3, adapters=tuple(map(AdapterChoice, names)))
        for names in (["image-outline"], list(STYLES))
    ]
    replies = painter.generate_batch(painter.prepare_batch(rows), Control())
    line, soft_line = (reply.pictures[0].image for reply in replies)
    assert image_styles.is_styled("outline", line, asked)
    assert image_styles.is_styled("outline", soft_line, asked)
    assert np.asarray(soft_line).min() > np.asarray(line).min() + 20


def test_drawn_styles_are_told_apart():
    for _, request in plain():
        scene = Sampler(0).scene(request)
        for drawn in image_data.STYLES:
            picture = image_data.draw(scene, drawn)
            told = [style.drawn for style in STYLES.values() if image_styles.is_styled(style.drawn, picture, request)]
            assert told == [drawn] * (drawn != "flat"), (request, drawn)


def test_a_training_of_a_style_repeats_itself_exactly(tmp_path):
    recipe = image_styles.StyleRecipe(seed=1, steps=2, batch=2, pool=4)
    style, base = STYLES["image-outline"], embedded.path("image")
    first, second = (image_styles.train(style, base, recipe, report=lambda line: None) for _ in range(2))
    assert first.losses == second.losses
    for trained, folder in zip((first, second), (tmp_path / "first", tmp_path / "second"), strict=True):
        image_styles.save(trained, folder)
    one, two = ((tmp_path / name / image_styles.WEIGHTS).read_bytes() for name in ("first", "second"))
    assert one == two


def test_the_command_line_knows_its_options(capsys):
    with pytest.raises(SystemExit):
        adapters.main(["--help"])
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--out", "--seed", "--only", "--evaluate"))
