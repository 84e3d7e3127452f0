"""The handlers of a page with adapters: what a visitor brings, and what is compared; without a page."""

from types import SimpleNamespace

import gradio as gr
import pytest
import tiny_adapters
import tiny_text
from test_lora_guests import CONFIG, WEIGHTS, Engine, sent

from zerokit import ZeroLoRA
from zerokit.adapters import AdapterSpec
from zerokit.blocks.adapter_part import AdapterPart
from zerokit.blocks.conversation import note, said_by
from zerokit.errors import RequestError
from zerokit.requests import Message

TOKENS = tiny_text.tokenizer()
MODEL = tiny_text.random_model(TOKENS)
VISITOR = SimpleNamespace(session_hash="ann")
SETTINGS = ["", 8, 0, 1.0, 0, 1.0, None]
NOTHING, SKIPPED = {"picked": {}}, gr.skip()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tiny_adapters.save(tmp_path_factory.mktemp("adapters") / "pirate", MODEL, base="owner/base")


@pytest.fixture
def part():
    with gr.Blocks():
        part = AdapterPart(Engine(), allow_custom=True)
        part.place()
    return part


def bring(part, saved, folder, own=(), picked=NOTHING):
    return part._bring("", sent(saved, folder, WEIGHTS, CONFIG), picked, list(own))


def test_what_is_brought_is_picked_and_shown_to_this_visitor(part, saved, tmp_path):
    own, picker, said, repo, files = bring(part, saved, tmp_path, picked={"picked": {"pirate": 0.5}})
    assert picker["value"] == {"picked": {"pirate": 0.5, "adapter_model": 1.0}}
    assert [(card["name"], card["own"]) for card in picker["cards"]] == [("adapter_model", True)]
    assert "adapter_model is here for you alone" in said
    assert (repo, files) == ("", None)
    assert part.chosen([{"picked": {"adapter_model": 2}}, own]).extra == (own[0].adapter,)
    with pytest.raises(RequestError, match="There is no adapter"):
        part.chosen([{"picked": {"adapter_model": 2}}, []])
    part.own.delete_callback(own)  # as Gradio does when the visitor is gone
    assert not own[0].folder.exists()


@pytest.mark.parametrize("repo", ["", "nonsense", "../../etc/passwd", "<b>x</b>/y"])
def test_what_is_refused_stays_typed_and_changes_nothing(part, repo):
    own, picker, said, typed, files = part._bring(repo, None, {"picked": {"pirate": 1}}, [])
    assert (own, picker, typed, files) == (SKIPPED, SKIPPED, SKIPPED, None)
    assert 'role="alert"' in said
    assert "Nothing was charged" in said
    assert "<b>x" not in said


def test_what_is_removed_is_no_longer_picked_and_its_files_are_gone(part, saved, tmp_path):
    own, *_ = bring(part, saved, tmp_path)
    both, picker, *_ = bring(part, saved, tmp_path, own)
    picked = {"picked": {"pirate": 1, **picker["value"]["picked"], "adapter_model": 1}}
    left, picker, _ = part._remove(picked, both, gr.EventData(None, {"name": "adapter_model"}))
    assert [guest.adapter.name for guest in left] == ["adapter_model 2"]
    assert picker["value"] == {"picked": {"pirate": 1, "adapter_model 2": 1.0}}
    assert [guest.folder.exists() for guest in both] == [False, True]
    assert part._remove(NOTHING, left, gr.EventData(None, {"name": "another"}))[0] == left
    part.own.delete_callback(left)


def test_without_permission_there_is_nothing_to_bring_it_with():
    with gr.Blocks():
        part = AdapterPart(Engine())
        part.place()
    assert part.guests is None
    assert not hasattr(part, "bring")


@pytest.fixture(scope="module")
def form(tmp_path_factory):
    base = tiny_text.save(tmp_path_factory.mktemp("models") / "chat", TOKENS, tiny_text.random_model(TOKENS))
    folder = tmp_path_factory.mktemp("adapters")
    one, two = (tiny_adapters.save(folder / name, MODEL, seed=n) for n, name in enumerate(("one", "two"), 1))
    return ZeroLoRA(base, [AdapterSpec(one, trigger="Ahoy!"), two], temperature=0, max_new_tokens=8).form


def values(**picked):
    return [*SETTINGS, {"picked": picked}, []]


def test_the_button_offers_what_can_be_compared(form):
    assert form._offer(*values(), [])["interactive"] is False
    assert form._offer(*values(nobody=1), [])["interactive"] is False
    assert form._offer(*values(one=99), [])["interactive"] is False
    offered = form._offer(*values(one=1, two=0.5), [])
    assert (offered["value"], offered["interactive"]) == ("Compare 3 answers", True)


def compared(form, message, history, **picked):
    return list(form._compare(message, history, VISITOR, None, *values(**picked), None))


def test_a_comparison_shows_progress_and_then_the_answers(form):
    *beats, (shown, _, _, stop, close) = compared(form, "hello", [], one=1, two=0.5)
    assert shown.count('class="zs-one"') == 3
    assert all(f'aria-label="{name}"' in shown for name in ("Base", "one", "two × 0.5"))
    assert "3 answers in one run" in shown
    assert (stop["visible"], close["visible"]) == (False, True)
    assert beats[0][2]["interactive"] is False
    assert beats[0][3]["visible"] is True


def test_what_was_asked_last_is_compared_where_nothing_is_typed(form):
    before = [said_by("user", "hi"), said_by("assistant", "ho")]
    history = [*before, said_by("user", "hello"), said_by("assistant", "x"), note("3 tokens", name="line")]

    def answers(message, turns):
        return [part.partition("</div>")[0] for part in compared(form, message, turns, two=1)[-1][0].split("zs-text")]

    assert len(answers(" ", history)) == 3
    assert answers(" ", history)[1:] == answers("hello", before)[1:]


@pytest.mark.parametrize(
    ("message", "picked", "said"),
    [
        ("", {"one": 1}, "Type a message first."),
        ("hello", {}, "Choose an adapter to compare"),
        ("hello", {"on": 1}, "Did you mean"),
        ("hello", {"one": 99}, "must be from -4 to 4"),
        ("x" * 200_000, {"one": 1}, "200,000 characters"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_compared_is_said(form, message, picked, said):
    ((shown, *rest),) = compared(form, message, [], **picked)
    assert said in shown
    assert 'role="alert"' in shown
    assert rest[0] == rest[1] == rest[2] == SKIPPED


def test_a_question_on_the_page_is_asked_with_what_is_picked(form):
    hello = Message("user", "hello")
    asked, extra = form.chat.asked([], values(one=1), hello)
    assert [choice.name for choice in asked.adapters] == ["one"]
    assert asked.messages[-1].content == "Ahoy! hello"
    assert extra == ()
    assert form.chat.asked([], values(), hello)[0].adapters == ()
