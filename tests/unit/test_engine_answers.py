"""From token ids to an answer."""

import random

import pytest
import tiny_text
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from zerokit.engines.answers import TextDecoder, split_reasoning

TOKENS = tiny_text.tokenizer()
SPECIAL = frozenset(TOKENS.all_special_ids)
TEXTS = ["Hello there", "😀 naïve café 👩‍👩‍👧‍👦", "שלום, مرحبا!", "a\n\n b\t", "日本語のテキスト", "\u202eabc"]


def words():
    """A tokenizer that writes spaces as part of the next word, and drops one at the start of a text."""
    vocabulary = {word: i for i, word in enumerate(["<unk>", "▁the", "▁cat", "▁sat", "s", "."])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("seed", range(5))
def test_text_in_steps_is_the_text_at_once(text, seed):
    ids = TOKENS.encode(text * 5, add_special_tokens=False)
    decoder = TextDecoder(TOKENS, TOKENS.encode("Hi\n"), SPECIAL)
    chance = random.Random(seed)
    while ids:
        step = chance.randint(1, 12)
        decoder.add(ids[:step])
        ids = ids[step:]
        assert (text * 5).startswith(decoder.text())
    assert decoder.text() == decoder.whole_text() == text * 5


def test_a_space_at_the_start_is_kept():
    decoder = TextDecoder(words(), [1, 2], frozenset())
    decoder.add([3, 4])
    assert decoder.text() == decoder.whole_text() == " sats"


def test_bytes_that_are_no_text_do_not_stop_the_rest():
    decoder = TextDecoder(TOKENS, (), SPECIAL)
    smile = TOKENS.encode("😀", add_special_tokens=False)
    for _ in range(100):
        decoder.add(smile[:3])
        decoder.text()
    decoder.add(TOKENS.encode("ok"))
    assert decoder.text().endswith("ok")


def test_tokens_that_are_no_text_are_skipped():
    decoder = TextDecoder(TOKENS, (), SPECIAL)
    decoder.add([*TOKENS.encode("a"), *SPECIAL, *TOKENS.encode("b")])
    assert decoder.text() == "ab"


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("plain", False, ("", "plain")),
        (" plain ", False, ("", " plain ")),
        ("", False, ("", "")),
        ("<thi", False, ("", "")),
        ("<things> are", False, ("", "<things> are")),
        ("<think>why", False, ("why", "")),
        ("\n<think>\nwhy\n</think>\n\nso", False, ("why", "so")),
        ("<think>why</thi", False, ("why", "")),
        ("why", True, ("why", "")),
        ("why</think>so", True, ("why", "so")),
        ("<think>why</think>so", True, ("why", "so")),
        ("so <think>no</think>", False, ("", "so <think>no</think>")),
    ],
)
def test_reasoning_and_answer(text, opened, expected):
    assert split_reasoning(text, opened=opened) == expected
