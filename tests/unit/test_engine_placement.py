"""Where weights lie and in which dtype."""

import gc
import weakref

import pytest
import tiny_text
import torch

from zerokit.engines import placement
from zerokit.engines.text import TextEngine
from zerokit.errors import UsageError

BYTES_OF = {torch.float16: 2, torch.bfloat16: 2, torch.float32: 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tokens = tiny_text.tokenizer()
    model = tiny_text.random_model(tokens).to(torch.bfloat16)
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("asked", "dtype"),
    [
        ("float16", torch.float16),
        ("bfloat16", torch.bfloat16),
        ("float32", torch.float32),
        ("auto", "auto"),
        (torch.float16, torch.float16),
    ],
)
def test_dtypes(asked, dtype):
    assert placement.load_dtype(asked) == dtype


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("fp16", "float16"), ("flot32", "float32"), ("torch.bfloat16", "bfloat16"), ("bf16", "bfloat16")],
)
def test_other_dtypes_get_a_hint(asked, hint):
    with pytest.raises(UsageError, match=f'Did you mean "{hint}"'):
        placement.load_dtype(asked)


@pytest.mark.parametrize("asked", [torch.int8, None, 16, "", torch.float64])
def test_what_is_no_dtype_is_refused(asked):
    with pytest.raises(UsageError, match="must be one of"):
        placement.load_dtype(asked)


@pytest.mark.parametrize(
    ("asked", "loaded"), [("float16", torch.float16), ("auto", torch.bfloat16), ("float32", torch.float32)]
)
def test_without_a_card_half_precision_is_counted_but_not_computed(folder, asked, loaded):
    engine = TextEngine(folder, dtype=asked)
    computed = {parameter.dtype for parameter in engine.model.parameters()}
    assert computed == {placement.compute_dtype(loaded)}
    assert torch.float16 not in computed
    numbers = sum(parameter.numel() for parameter in engine.model.parameters())
    assert abs(engine.packed_bytes - numbers * BYTES_OF[loaded]) < 1000


def test_with_a_card_the_dtype_stays(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert placement.device() == "cuda"
    assert placement.compute_dtype(torch.float16) is torch.float16
    monkeypatch.setenv("ZEROKIT_EMULATED_DEVICE", "cpu")
    assert placement.device() == "cuda"
    assert placement.compute_dtype(torch.float16) is torch.float32


def test_shared_weights_are_counted_once():
    model = tiny_text.random_model(tiny_text.tokenizer(), tie_word_embeddings=True)
    assert placement.packed_bytes(model) == model.num_parameters() * 4 + sum(b.nbytes for b in model.buffers())


def test_converting_leaves_one_copy_and_shared_weights_shared():
    model = tiny_text.random_model(tiny_text.tokenizer(), tie_word_embeddings=True).to(torch.float16)
    halves = [weakref.ref(parameter) for parameter in model.parameters()]
    placement.convert(model, torch.float16, torch.float32)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    gc.collect()
    left = [half() for half in halves if half() is not None and half().dtype is torch.float16]
    assert not left
