"""Requests are checked before a GPU is asked for."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zerokit import ChatReply, ChatRequest, Message
from zerokit.errors import RequestError
from zerokit.requests import MAX_MESSAGES, MAX_PROMPT_CHARACTERS, check_number

QUESTION = (Message("user", "What is it?"),)
RANGES = {
    "max_new_tokens": (1, 32_768, True),
    "temperature": (0, 2, False),
    "top_p": (0.01, 1, False),
    "top_k": (0, 1000, True),
    "repetition_penalty": (1, 2, False),
    "seed": (0, 2**31 - 1, True),
}
NO_NUMBERS = [float("nan"), float("inf"), -float("inf"), True, "5", [1], object()]


@pytest.mark.parametrize("field", RANGES)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=[str(n) for n in range(len(NO_NUMBERS))])
def test_what_is_no_number_is_refused(field, value):
    with pytest.raises(RequestError, match=r"must be a (whole )?number"):
        ChatRequest(QUESTION, **{field: value})


@pytest.mark.parametrize("field", RANGES)
def test_numbers_out_of_range_are_named_with_the_range(field):
    low, high, whole = RANGES[field]
    step = 1 if whole else 0.5
    for value in (low - step, high + step, -(10**400), 10**400, 10**5000):
        with pytest.raises(RequestError, match=r"is .+, and must be from .+ to ") as caught:
            ChatRequest(QUESTION, **{field: value})
        assert len(caught.value.message) < 120
    for value in (low, high):
        assert getattr(ChatRequest(QUESTION, **{field: value}), field) == value


def test_the_number_is_in_the_message():
    with pytest.raises(RequestError) as caught:
        ChatRequest(QUESTION, max_new_tokens=40_000)
    assert caught.value.message == "Max new tokens is 40,000, and must be from 1 to 32,768."
    with pytest.raises(RequestError, match=r"Temperature is 2\.5, and must be from 0 to 2\."):
        ChatRequest(QUESTION, temperature=2.5)


@pytest.mark.parametrize("field", [field for field, (_, _, whole) in RANGES.items() if whole])
def test_fractions_are_no_whole_numbers(field):
    with pytest.raises(RequestError, match="whole number"):
        ChatRequest(QUESTION, **{field: 5.5})


@settings(deadline=None)
@given(st.integers() | st.floats() | st.text() | st.none() | st.booleans() | st.binary())
def test_a_check_passes_or_is_a_request_error(value):
    try:
        check_number("It", value, 0, 10)
    except RequestError:
        return
    assert 0 <= value <= 10


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ((), "no message"),
        (None, "list of messages"),
        ("hello", "list of messages"),
        (({"role": "user", "content": "hi"},), "list of messages"),
        ((Message("assistant", "hi"),), "no question"),
        ((Message("user", " \n\t"),), "empty"),
        (QUESTION * (MAX_MESSAGES + 1), "1,001 messages"),
    ],
)
def test_conversations_that_cannot_be_answered(messages, said):
    with pytest.raises(RequestError, match=said):
        ChatRequest(messages)


def test_going_on_needs_an_answer():
    with pytest.raises(RequestError, match="no answer to continue"):
        ChatRequest(QUESTION, go_on=True)
    with pytest.raises(RequestError, match="true or false"):
        ChatRequest(QUESTION, go_on="yes")
    assert ChatRequest((*QUESTION, Message("assistant", "It")), go_on=True).go_on


@pytest.mark.parametrize(
    ("role", "content", "said"),
    [
        ("robot", "hi", "not by 'robot'"),
        (["user"], "hi", "by system, user or assistant"),
        ("user", 5, "is a text"),
        ("user", None, "is a text"),
        ("user", "x" * (MAX_PROMPT_CHARACTERS + 1), "100,001 characters"),
        ("user", "half \ud83d", "half a character"),
    ],
)
def test_messages_that_are_none(role, content, said):
    with pytest.raises(RequestError, match=said):
        Message(role, content)


def test_requests_are_frozen_equal_and_picklable():
    request = ChatRequest([*QUESTION], seed=5)
    assert request.messages == QUESTION
    assert hash(request) == hash(ChatRequest(QUESTION, seed=5))
    assert pickle.loads(pickle.dumps(request)) == request
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.seed = 6


def test_a_reply_tells_its_speed_when_it_knows():
    assert ChatReply("x", new_tokens=10, seconds=2).tokens_per_second == 5
    assert ChatReply("x").tokens_per_second is None
    assert pickle.loads(pickle.dumps(ChatReply("x"))) == ChatReply("x")
