"""The embedded chat model: what ships, what it answers, and that its recipe is deterministic."""

import json
import random
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open

from zerokit import embedded
from zerokit.embedded import chat, chat_evaluate, chat_train, figures
from zerokit.embedded.chat_data import Sampler, load_wordings, normal_form
from zerokit.embedded.chat_data.wordings import expand

FOLDER = embedded.path("chat")


@pytest.fixture(scope="module")
def loaded():
    return chat_evaluate.load(FOLDER)


def asked(text):
    return [{"role": "user", "content": text}]


def answers(loaded, wordings):
    """Greedy answers to wordings, generated in batches of answers of similar length."""
    ordered = sorted(wordings, key=lambda wording: len(wording.answer))
    texts = {}
    for batch in (ordered[start : start + 64] for start in range(0, len(ordered), 64)):
        replies = chat_evaluate.generate(*loaded, [asked(wording.text) for wording in batch])
        texts.update(zip((wording.text for wording in batch), replies, strict=True))
    return texts


def wrong(loaded, wordings):
    given = answers(loaded, wordings)
    return {w.text: given[w.text] for w in wordings if given[w.text] != w.answer}


def test_path_of_the_chat_model():
    assert (FOLDER / "config.json").is_file()
    assert "chat" in embedded.names()


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(ValueError, match=r"Did you mean 'chat'\?"):
        embedded.path("caht")
    with pytest.raises(ValueError, match=r"There is: .*'chat'"):
        embedded.path("violin")


def test_embedded_is_cheap_to_import():
    code = "import sys, zerokit.embedded as e; e.path('chat'); print({'torch', 'transformers'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_the_folder_is_small_safe_and_readable():
    files = {file.name for file in FOLDER.iterdir()}
    assert {"README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert figures.folder_bytes(FOLDER) <= 5_000_000
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in FOLDER.iterdir())


def test_the_weights_are_float16_on_disk():
    with safe_open(FOLDER / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F16"}  # noqa: SIM118
    assert json.loads((FOLDER / "config.json").read_text())["dtype"] == "float16"


def test_it_loads_as_float16_and_pads_on_the_left():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert AutoModelForCausalLM.from_pretrained(FOLDER).dtype == torch.float16
    assert AutoTokenizer.from_pretrained(FOLDER).padding_side == "left"


def test_the_chat_template_is_what_was_trained(loaded):
    tokenizer = loaded[1]
    for messages in (Sampler(7).dialogue(), [{"role": "system", "content": "Be brief."}, *Sampler(8).dialogue()]):
        ids, labels = chat_train.encode(tokenizer, messages)
        shown = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
        assert shown["input_ids"] == ids
        assert shown["assistant_masks"] == [int(label != chat_train.IGNORED) for label in labels]


def test_the_chat_template_takes_text_parts(loaded):
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    assert loaded[1].apply_chat_template(parts) == loaded[1].apply_chat_template(asked("Hello"))


def test_every_trained_question_is_answered_rightly(loaded):
    assert wrong(loaded, [wording for wording in load_wordings() if wording.canonical]) == {}


def test_held_out_wordings_are_mostly_answered_rightly(loaded):
    held_out = [w for w in load_wordings() if w.split != "trained" and w.kind not in ("unknown", "gibberish")]
    sample = random.Random(0).sample(held_out, 200)
    assert len(wrong(loaded, sample)) <= 0.15 * len(sample)


def test_a_ten_turn_dialogue_does_not_collapse(loaded):
    for dialogue in chat_evaluate.ten_turns(2):
        history = []
        for question, answer in zip(dialogue[::2], dialogue[1::2], strict=True):
            reply = chat_evaluate.generate(*loaded, [[*history, question]])[0]
            assert reply == answer["content"]
            history += [question, {"role": "assistant", "content": reply}]


def test_a_cut_answer_goes_on_where_it_stopped(loaded):
    story = next(w for w in load_wordings() if w.topic == "story-gpu")
    begun = story.answer[: story.answer.index("The girl smiled")].rstrip()
    rest = chat_evaluate.generate(*loaded, [[*asked(story.text), {"role": "assistant", "content": begun}]])[0]
    assert begun + rest == story.answer


def test_a_pattern_is_spelt_out():
    assert expand("Is it (big|small) (now|)?") == ["Is it big now?", "Is it big?", "Is it small now?", "Is it small?"]


def test_what_is_held_out_is_never_trained():
    held_out = {normal_form(wording.text) for wording in load_wordings() if wording.split != "trained"}
    trained = {normal_form(wording.text) for wording in load_wordings() if wording.split == "trained"}
    assert not held_out & trained
    sampler = Sampler(3)
    assert not held_out & {normal_form(sampler.question()[0]) for _ in range(5000)}


def test_dialogues_are_the_same_for_a_seed():
    first, second, other = Sampler(5), Sampler(5), Sampler(6)
    drawn = [first.dialogue() for _ in range(50)]
    assert drawn == [second.dialogue() for _ in range(50)]
    assert drawn != [other.dialogue() for _ in range(50)]


def test_a_training_repeats_itself_exactly(tmp_path):
    recipe = chat_train.Recipe(seed=1, steps=3, tokens_per_step=256, hidden=24, layers=1)
    first, second = (chat_train.train(recipe, report=lambda line: None) for _ in range(2))
    assert first.losses == second.losses
    assert first.tokenizer.get_vocab() == second.tokenizer.get_vocab()
    for name, weights in first.model.state_dict().items():
        assert torch.equal(weights, second.model.state_dict()[name]), name


def test_the_shipped_tokenizer_is_the_one_of_the_recipe(loaded):
    from zerokit.embedded.chat_model import train_tokenizer

    assert train_tokenizer().get_vocab() == loaded[1].get_vocab()


def test_the_command_line_knows_its_options(capsys):
    with pytest.raises(SystemExit):
        chat.main(["--help"])
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--out", "--seed", "--steps", "--evaluate"))
