"""Many questions in few GPU calls, in the real worker: none is lost, none is answered twice."""

import pytest
from chat_world import APPS, babbling_model, world

from zerokit.control import Control
from zerokit.engines.text import TextEngine
from zerokit.requests import ChatRequest, Message

PROMPTS = [f"Question {number}" + "?" * (number % 5) for number in range(24)]
TOKENS = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(babbling_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def alone(model):
    """What each question is answered by itself, outside of any worker."""
    engine = TextEngine(model)
    requests = [ChatRequest((Message("user", text),), temperature=0, max_new_tokens=TOKENS) for text in PROMPTS]
    return [engine.generate(engine.prepare(request), Control()).text for request in requests]


@pytest.fixture(scope="module")
def module_space(model):
    with world(APPS / "batches.py", env={"CHAT_MODEL": model}) as space:
        yield space


@pytest.fixture
def space(module_space):
    module_space.new_day()
    yield module_space
    module_space.new_day()
    module_space.settle()


def ask(space, tokens=TOKENS, **more):
    """Answers by place, how many each call brought, the error's title, and the calls."""
    before = len(space.z.calls)
    brought, title = space.client().predict(PROMPTS, tokens, api_name="/answer", **more)
    places = [int(place) for part in brought for place in part]
    assert len(set(places)) == len(places), "a question was answered twice"
    answers = {int(place): reply for part in brought for place, reply in part.items()}
    return answers, [len(part) for part in brought], title, space.z.calls[before:]


def test_all_in_one_call_where_they_fit(space, alone):
    ask(space)  # what they take is known from here on
    answers, sizes, title, calls = ask(space)
    assert (sizes, title) == ([len(PROMPTS)], None)
    assert [answers[place][0] for place in range(len(PROMPTS))] == alone
    assert [call.outcome for call in calls] == ["done"]


def test_out_of_memory_halves_within_the_call(space, alone):
    space.z.set_faults("oom@1")
    answers, _, title, calls = ask(space)
    assert title is None
    assert [answers[place][0] for place in range(len(PROMPTS))] == alone
    assert [call.outcome for call in calls] == ["done"] * len(calls)


def test_what_a_killed_call_did_not_bring_comes_with_the_next(space, alone):
    space.z.set_faults("kill:0@1")
    answers, sizes, title, calls = ask(space)
    assert title is None
    assert [answers[place][0] for place in range(len(PROMPTS))] == alone
    assert calls[0].outcome == "failed"
    assert len(calls) == len(sizes) + 1


def test_a_refusal_ends_it_in_words(space):
    space.z.set_faults("kill:0@1", "seconds@2")
    answers, sizes, title, calls = ask(space)
    assert (answers, sizes, title) == ({}, [], "Not enough GPU time left")
    assert [call.outcome for call in calls] == ["failed", "refused:seconds"]


def test_each_call_stays_below_what_the_visitor_may_reserve(space):
    cap_s = 4
    answers, sizes, title, calls = ask(space, tokens=60, cap_s=cap_s)
    assert title is None
    assert len(answers) == len(PROMPTS)
    assert all(call.reserved_s <= cap_s for call in calls)
    assert len(sizes) >= 1
