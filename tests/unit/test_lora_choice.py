"""What a page or a program chooses becomes adapters of a request: names, weights, and words in the prompt."""

import asyncio
import base64
import io
import math
from pathlib import Path

import gradio as gr
import pytest
from gradio.state_holder import SessionState
from PIL import Image

from zerokit.adapters import AdapterSpec
from zerokit.blocks.adapter_choice import Chosen, card, chosen, from_page, initials, named
from zerokit.blocks.adapter_picker import AdapterPicker, cards
from zerokit.blocks.chat_adapters import acting, side_by_side
from zerokit.blocks.lora_endpoint import adapters_schema, told
from zerokit.blocks.side_by_side import done
from zerokit.calls import Outcome
from zerokit.calls.usage import Usage
from zerokit.engines.shelf import Adapter
from zerokit.errors import RequestError, UsageError
from zerokit.requests import AdapterChoice, ChatReply, ChatRequest, Message


def adapter(name, **spec):
    file = Path("/nowhere/adapter_model.safetensors")
    return Adapter(AdapterSpec(name, name=name, **spec), name, "text", file.parent, file, None, 4, 100, (), name)


PIRATE = adapter("pirate", trigger="Arr!", examples=("Who are you?",))
TERSE = adapter("terse", trigger="briefly", trigger_at="end", weight=0.5)
OURS = (PIRATE, TERSE)
MINE = adapter("someone/mine")


def pairs(choice: Chosen):
    return {one.name: one.weight for one in choice.choices}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {}),
        ([], {}),
        ({}, {}),
        ("pirate", {"pirate": 1}),
        (["pirate", "terse"], {"pirate": 1, "terse": 0.5}),
        (("terse",), {"terse": 0.5}),
        ({"pirate": 0.8, "terse": None}, {"pirate": 0.8, "terse": 0.5}),
        ([AdapterChoice("pirate", -2), "terse"], {"pirate": -2, "terse": 0.5}),
        (AdapterChoice("terse"), {"terse": 1}),
    ],
)
def test_what_a_program_may_give(given, expected):
    assert pairs(chosen(given, OURS)) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (7, "list of names"),
        ([7], "list of names"),
        ([None], "list of names"),
        ({1: 1}, "list of names"),
        ([{"name": "pirate"}], "list of names"),
        (["pirat"], 'There is no adapter "pirat". Did you mean "pirate"?'),
        (["xyz"], "There are: pirate, terse."),
        (["<script>"], 'There is no adapter "<script>"'),
        (["pirate", "pirate"], "chosen twice"),
        ({"pirate": math.nan}, "must be a number"),
        ({"pirate": math.inf}, "must be a number"),
        ({"pirate": 1000}, "must be from -4 to 4"),
        ({"pirate": "1"}, "must be a number"),
        ({"pirate": True}, "must be a number"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_refused(given, said):
    with pytest.raises(RequestError, match=None) as caught:
        chosen(given, OURS)
    assert said in caught.value.message


def test_twenty_at_once():
    many = [adapter(f"a{number}") for number in range(20)]
    with pytest.raises(RequestError, match="20 adapters were chosen, and at most 8 work together"):
        chosen([one.name for one in many], many)


def test_without_adapters_a_name_gets_no_hint():
    with pytest.raises(RequestError, match="this app has none"):
        chosen(["pirate"], ())


@pytest.mark.parametrize("value", [None, {}, {"picked": {}}, {"picked": None}, "x", [1], {"other": 1}])
def test_a_page_where_nothing_is_picked(value):
    assert from_page(value, OURS) == Chosen()


def test_what_is_picked_on_a_page_may_be_of_the_visitor():
    choice = from_page({"picked": {"pirate": 0.3, "someone/mine": 1}}, OURS, (MINE,))
    assert pairs(choice) == {"pirate": 0.3, "someone/mine": 1}
    assert choice.extra == (MINE,)
    assert from_page({"picked": {"pirate": 1}}, OURS, (MINE,)).extra == ()
    with pytest.raises(RequestError, match="There is no adapter"):
        from_page({"picked": {"someone/mine": 1}}, OURS)


def test_trigger_words_of_those_that_act_are_in_the_last_question_once():
    asked = ChatRequest(
        (Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Ho"), Message("user", "What?"))
    )
    request = acting(asked, chosen(["pirate", "terse"], OURS))
    assert [message.content for message in request.messages] == ["Be kind.", "Hi", "Ho", "Arr! What? briefly"]
    assert acting(request, chosen(["pirate", "terse"], OURS)).messages == request.messages
    assert request.adapters == (AdapterChoice("pirate"), AdapterChoice("terse", 0.5))
    assert acting(asked, chosen({"pirate": 0}, OURS)).messages == asked.messages
    assert acting(asked, Chosen()) == asked


def test_the_question_before_an_answer_that_is_continued_has_them_too():
    asked = ChatRequest((Message("user", "What?"), Message("assistant", "It")), go_on=True)
    request = acting(asked, chosen("pirate", OURS))
    assert [message.content for message in request.messages] == ["Arr! What?", "It"]


def test_a_comparison_asks_the_base_and_each_alone_with_one_seed():
    asked = ChatRequest((Message("user", "What?"),))
    rows = side_by_side(asked, chosen({"pirate": 2, "terse": 1}, OURS))
    assert [row.adapters for row in rows] == [(), (AdapterChoice("pirate", 2),), (AdapterChoice("terse", 1),)]
    assert [row.messages[-1].content for row in rows] == ["What?", "Arr! What?", "What? briefly"]
    assert len({row.seed for row in rows}) == 1
    assert rows[0].seed is not None
    assert {row.seed for row in side_by_side(ChatRequest(asked.messages, seed=7), chosen("pirate", OURS))} == {7}
    with pytest.raises(RequestError, match="Choose an adapter to compare"):
        side_by_side(asked, Chosen())


def test_what_a_comparison_compares_keeps_the_visitors_own():
    choice = chosen(["pirate", "someone/mine"], OURS, (MINE,))
    assert [one.extra for one in choice.compared()] == [(), (), (MINE,)]
    assert [one.shown for one in choice.compared()] == ["Base", "pirate", "someone/mine"]


def test_names_are_shown_with_weights_that_say_something():
    assert named(AdapterChoice("pirate")) == "pirate"
    assert named(AdapterChoice("pirate", 0.5)) == "pirate × 0.5"


@pytest.mark.parametrize(
    ("name", "letters"),
    [("pirate", "PI"), ("Old Sailor", "OS"), ("owner/old-sailor", "OS"), ("x", "X"), ("--", "?"), ("ß", "SS")],
)
def test_initials(name, letters):
    assert initials(name) == letters


def test_a_card_tells_what_the_page_shows(tmp_path):
    shown = card(PIRATE)
    assert (shown["name"], shown["initials"], shown["picture"], shown["weight"]) == ("pirate", "PI", None, 1.0)
    assert (shown["trigger"], shown["examples"], shown["own"]) == ("Arr!", ["Who are you?"], False)
    Image.new("RGB", (300, 200), "red").save(tmp_path / "red.png")
    picture = card(adapter("red", picture=tmp_path / "red.png"))["picture"]
    kind, _, data = picture.partition(",")
    assert kind == "data:image/webp;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (128, 128)


@pytest.mark.parametrize("name", ["none.png", "text.png"])
def test_a_picture_that_cannot_be_shown_is_told_to_the_author(tmp_path, name):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UsageError, match="cannot be an adapter's picture"):
        card(adapter("red", picture=tmp_path / name))


def test_the_picker_takes_what_a_page_sends_and_nothing_else():
    picker = AdapterPicker(cards(OURS, (MINE,)))
    assert [(one["name"], one["own"]) for one in picker.props["cards"]] == [
        ("pirate", False),
        ("terse", False),
        ("someone/mine", True),
    ]
    assert picker.get_config()["cards"] == picker.props["cards"]
    assert picker.preprocess({"picked": {"pirate": 1}, "more": 2}) == {"picked": {"pirate": 1}}
    for odd in (None, "x", 7, [], {"picked": [1]}, {"picked": "x"}):
        assert picker.preprocess(odd) == {"picked": {}}


def test_gradio_takes_other_adapters_for_one_visitor():
    with gr.Blocks() as demo:
        picker = AdapterPicker(cards(OURS))
        demo.load(lambda: picker.with_own(OURS, (MINE,), {"picked": {"someone/mine": 1}}), None, picker)
    (shown,) = asyncio.run(demo.process_api(0, [], SessionState(demo)))["data"]
    assert [one["name"] for one in shown["props"]["cards"]] == ["pirate", "terse", "someone/mine"]
    assert shown["value"] == {"picked": {"someone/mine": 1}}
    assert len(picker.props["cards"]) == 2


def test_the_schema_names_the_adapters():
    several, weights, nothing = adapters_schema(["pirate", "terse"], custom=False)["anyOf"]
    assert several["items"]["enum"] == ["pirate", "terse"]
    assert set(weights["properties"]) == {"pirate", "terse"}
    assert nothing == {"type": "null"}
    assert "enum" not in adapters_schema(["pirate"], custom=True)["anyOf"][0]["items"]
    assert told(["pirate"], custom=False) == "pirate"
    assert "public repository" in told([], custom=True)


def test_answers_bring_no_html_into_the_page():
    replies = [ChatReply("**bold** <img src=x onerror=alert(1)>", new_tokens=1), ChatReply("", ended="length")]
    shown = done(["Base", 'a"b<c'], 7, Outcome(replies, "complete", Usage(9, 14, 9, used_s=2.0)))
    assert "<strong>bold</strong> &lt;img" in shown
    assert "<img" not in shown
    assert 'aria-label="a&quot;b&lt;c"' in shown
    assert "No answer." in shown
    assert "cut at the most tokens" in shown
    assert "2 answers in one run · seed 7 · GPU: reserved 14 s, used 2.0 s" in shown


@pytest.mark.parametrize("text", ["[a](javascript:alert(1))", "![a](http://elsewhere/x.png)", "<script>1</script>"])
def test_answers_run_nothing_and_fetch_nothing(text):
    shown = done(["Base"], 7, Outcome([ChatReply(text)], "complete", Usage()))
    assert not any(word in shown for word in ("<script", "<img", 'href="javascript'))
