"""Measures an embedded chat model: what it answers rightly, how fast it is, and how big.

An answer is right when the greedy choice is the expected token at every place of it, its end included: then
greedy generation gives exactly this text. So one pass over question and answer tells what generation would.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from zerokit.embedded.chat_data import Message, Sampler, Wording, load_tables, load_wordings, turn
from zerokit.embedded.chat_train import IGNORED, encode
from zerokit.embedded.figures import Figure, folder_bytes, share

_SEED = 1_000_003
"""Draws other dialogues than a training does, unless somebody trains with this very seed."""

_UNSEEN_SYSTEM = "You are the voice of a museum. Welcome the guests, and tell them what they want to know."


def load(folder: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Load a model in float32, which a CPU computes fastest, with its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def evaluate(folder: Path) -> list[Figure]:
    """Measure the model in a folder; takes about a minute on two cores."""
    model, tokenizer = load(folder)
    return [
        *_wordings(model, tokenizer),
        *_beyond(model, tokenizer),
        *_dialogues(model, tokenizer),
        Figure("cut answers continued rightly", _continued(model, tokenizer)),
        Figure("tokens a second, greedy, float32, one core", f"{tokens_per_s(model, tokenizer):.0f}"),
        Figure("parameters", f"{sum(p.numel() for p in model.parameters()):,}"),
        Figure("size of the folder", f"{folder_bytes(folder) / 1e6:.2f} MB"),
    ]


def right_turns(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, dialogues: Sequence[list[Message]]
) -> list[list[bool]]:
    """For each dialogue and each of its answers: would the model say exactly this, given what came before?"""
    encoded = [encode(tokenizer, messages) for messages in dialogues]
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index][0]))
    right: list[list[bool]] = [[] for _ in encoded]
    while order:
        count = max(1, min(len(order), 8192 // len(encoded[order[min(63, len(order) - 1)]][0])))
        chunk, order = order[:count], order[count:]
        for index, verdicts in zip(chunk, _judge(model, [encoded[index] for index in chunk]), strict=True):
            right[index] = verdicts
    return right


def _judge(model: LlamaForCausalLM, chunk: list[tuple[list[int], list[int]]]) -> list[list[bool]]:
    length = max(len(ids) for ids, _ in chunk)
    padded = torch.tensor([ids + [0] * (length - len(ids)) for ids, _ in chunk])
    with torch.inference_mode():
        chosen = model(padded, use_cache=False).logits.argmax(-1)
    verdicts = []
    for row, (_, labels) in zip(chosen.tolist(), chunk, strict=True):
        places = [(label == IGNORED, guess == label) for label, guess in zip(labels[1:], row, strict=False)]
        turns = groupby(places, key=lambda place: place[0])
        verdicts.append([all(hit for _, hit in hits) for ignored, hits in turns if not ignored])
    return verdicts


def generate(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    dialogues: Sequence[list[Message]],
    *,
    max_new_tokens: int = 400,
) -> list[str]:
    """Answer dialogues greedily in one batch; a dialogue that ends with the assistant is continued."""
    going_on = dialogues[0][-1]["role"] == "assistant"
    inputs = tokenizer.apply_chat_template(
        list(dialogues),
        add_generation_prompt=not going_on,
        continue_final_message=going_on,
        padding=True,
        return_dict=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        output = model.generate(**inputs, do_sample=False, max_new_tokens=max_new_tokens)
    return list(tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def tokens_per_s(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, *, tokens: int = 200) -> float:
    """The median speed of three greedy answers of `tokens` tokens on one core, reading the question included."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    question = [{"role": "user", "content": "Tell me a story about a GPU"}]
    inputs = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    try:
        speeds = []
        for _ in range(3):
            start = time.perf_counter()
            with torch.inference_mode():
                model.generate(**inputs, do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens)
            speeds.append(tokens / (time.perf_counter() - start))
    finally:
        torch.set_num_threads(threads)
    return statistics.median(speeds)


def _wordings(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> list[Figure]:
    wordings = [w for w in load_wordings() if w.kind not in ("unknown", "gibberish") or w.split == "trained"]
    turns = right_turns(model, tokenizer, [turn(w.text, w.answer) for w in wordings])
    right = {wording: all(verdicts) for wording, verdicts in zip(wordings, turns, strict=True)}

    def figure(name: str, chosen: list[Wording]) -> Figure:
        return Figure(name, share([right[wording] for wording in chosen]))

    held_out = [w for w in wordings if w.split != "trained"]
    tables = ("capitals", "colours", "names", "sums")
    return [
        figure("trained questions right, first wording", [w for w in wordings if w.canonical]),
        figure("trained questions right, every trained wording", [w for w in wordings if w.split == "trained"]),
        figure("held-out wordings right", held_out),
        figure("- of these, sums, capitals, colours and names", [w for w in held_out if w.kind in tables]),
        figure(
            "- of these, other variants of trained patterns",
            [w for w in held_out if w.kind not in tables and w.split == "new wording"],
        ),
        figure("- of these, whole patterns never trained", [w for w in held_out if w.split == "new pattern"]),
    ]


def _beyond(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> list[Figure]:
    """Questions about what it was never taught, random letters, and an unseen system message."""
    sampler, tables = Sampler(_SEED), load_tables()
    listed = [w.text for w in load_wordings() if w.kind == "unknown" and w.split != "trained"]
    foreign = [*listed, *(sampler.unknown_question(held_out=True) for _ in range(200 - len(listed)))]
    letters = [sampler.gibberish() for _ in range(50)]
    staged = [w for w in load_wordings() if w.canonical and w.kind != "sums"]
    sets = {
        'never taught, answered with "do not know"': [turn(q, tables["unknown"]["answer"]) for q in foreign],
        'random letters, answered with "did not understand"': [turn(q, tables["gibberish"]["answer"]) for q in letters],
        "first wordings right after an unseen system message": [
            [{"role": "system", "content": _UNSEEN_SYSTEM}, *turn(w.text, w.answer)] for w in staged
        ],
    }
    return [
        Figure(name, share([all(turns) for turns in right_turns(model, tokenizer, dialogues)]))
        for name, dialogues in sets.items()
    ]


def ten_turns(count: int) -> list[list[Message]]:
    """Draw dialogues of ten turns over trained wordings, each answer at most once in a dialogue."""
    sampler = Sampler(_SEED)
    trained = [w for w in load_wordings() if w.split == "trained" and w.kind != "gibberish"]
    dialogues = []
    for _ in range(count):
        drawn = sampler.random.sample(trained, 10)
        dialogues.append([message for w in drawn for message in turn(w.text, w.answer)])
    return dialogues


def _dialogues(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> list[Figure]:
    turns = right_turns(model, tokenizer, ten_turns(100))
    return [
        Figure("ten-turn dialogues right throughout", share([all(verdicts) for verdicts in turns])),
        Figure("turns of these right", share([verdict for verdicts in turns for verdict in verdicts])),
        Figure("- tenth turns right", share([verdicts[-1] for verdicts in turns])),
    ]


def _continued(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> str:
    """Cut long answers after a quarter, a half and three quarters of their tokens, and let the model go on."""
    verdicts = []
    for wording in (w for w in load_wordings() if w.kind == "long" and w.canonical):
        ids = tokenizer.encode(wording.answer, add_special_tokens=False)
        for quarter in (1, 2, 3):
            begun = tokenizer.decode(ids[: len(ids) * quarter // 4])
            rest = generate(model, tokenizer, [turn(wording.text, begun)])[0]
            verdicts.append(begun + rest == wording.answer)
    return share(verdicts)
