"""What is said in a conversation fetches nothing; the model reads it as it was written, and code stays as it is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from zerokit.blocks import conversation
from zerokit.blocks.harmless import as_written, harmless

IMAGE = "![x](http://elsewhere.example/i)"
TAG = '<img src="http://elsewhere.example/i">'
PIECES = ["```", "```html", "````", "~~~", "\n", "\n\n", "- ", "> ", "    ", "  ", "$$", "`", "\\", "text", IMAGE, TAG]
PIECES += ["</b>", "<!--", "-->", "<pre>", "[a]: x", "\t", "1. ", "<a", ">"]


def begun(text):
    """Pictures and HTML that Markdown makes of it."""
    html = MarkdownIt("commonmark", {"html": True}).render(text)
    return re.findall(r"<img[^>]*elsewhere", html)


@pytest.mark.parametrize(
    "text", [IMAGE, TAG, f"a {TAG}", f"> {TAG}", f"`x`{TAG}", "![x][r]\n\n[r]: http://elsewhere.example/i"]
)
def test_pictures_are_shown_as_text(text):
    assert begun(text)
    assert not begun(harmless(text))
    assert as_written(harmless(text)) == text


@pytest.mark.parametrize("text", ["a < b", "5 <6", "Hello!", "[a](b)", "x <- y", "1 << 2"])
def test_what_begins_nothing_stays(text):
    assert harmless(text) == text


def test_code_can_be_copied():
    text = f"See:\n\n```html\n{TAG}\n{IMAGE}\n```\n{TAG}"
    *code, after = harmless(text).split("\n")
    assert "\n".join(code) == text.rpartition("\n")[0]
    assert after != TAG


@pytest.mark.parametrize(
    "text",
    [
        f"~~~\n```\n~~~\n{TAG}\n```",
        f"```\n````\n{TAG}\n```",
        f"- ```\n  x\n  ```\n{TAG}\n```",
        f"$$\n```\n$$\n{TAG}\n$$\n```\n$$",
        f"```\n{TAG}",
        f"```\n ```\n{TAG}\n```",
    ],
)
def test_where_code_is_not_plain_nothing_is_taken_for_it(text):
    assert TAG not in harmless(text)


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_no_picture_whatever_stands_around_it(text):
    assert not begun(harmless(text))
    assert as_written(harmless(text)) == text
    assert harmless(harmless(text)) == harmless(text)


def test_the_page_shows_the_sign_and_the_model_reads_none():
    shown = [conversation.said_by("user", IMAGE), conversation.said_by("assistant", TAG)]
    assert IMAGE not in str(shown)
    assert [message.content for message in conversation.for_model(shown)] == [IMAGE, TAG]
