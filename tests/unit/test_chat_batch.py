"""Many questions in few calls: which go together, what is asked again, and when it ends."""

from types import SimpleNamespace

import gradio as gr
import pytest

from zerokit.blocks.chat_batch import Batches
from zerokit.calls import Outcome, Quote, Usage
from zerokit.engines.prompts import PreparedBatch
from zerokit.errors import CallKilled, DeadlineReached, DurationTooLong, OutOfMemory, QuotaExceeded
from zerokit.requests import ChatReply, ChatRequest, Message


class Replies:
    """A GPU function that has room for so many questions, and whose calls end as they are told to.

    Args:
        room: a call of more is shortened.
        least: a call of more is not even that.
        ends: for each call how many of its questions it answers, and how it ends; after them all calls go well.
    """

    def __init__(self, room=1000, least=1000, ends=()):
        self.room, self.least, self.ends = room, least, list(ends)
        self.asked, self.cap_s = [], None

    def within(self, left_s, cap_s):
        self.cap_s = cap_s
        return self

    def quote(self, work):
        if work.rows > self.least:
            raise DurationTooLong("Too long.")
        return Quote(10, 15, 15, shortened=work.rows > self.room)

    def watched(self, work):
        asked = [chat.place for chat in work.prepared.chats]
        self.asked.append(asked)
        count, end = self.ends.pop(0) if self.ends else (len(asked), "complete")
        ended = end if isinstance(end, str) else "interrupted"
        replies = [ChatReply(f"answer {place}", "complete" if n < count else ended) for n, place in enumerate(asked)]
        yield "a beat"
        yield Outcome(
            replies if end != "nothing" else None, ended, Usage(), end if isinstance(end, Exception) else None
        )


def batches(replies, count=10, cap_s=None):
    requests = [ChatRequest((Message("user", f"question {n}"),)) for n in range(count)]
    chats = tuple(SimpleNamespace(place=n) for n in range(count))
    engine = SimpleNamespace(prepare_batch=lambda asked: PreparedBatch(chats))
    return Batches(SimpleNamespace(engine=engine, replies=replies), requests, cap_s)


def brought(replies, **more):
    """The places that each call answered; every answer is the one of its question."""
    parts = []
    for part in batches(replies, **more):
        assert all(reply.text == f"answer {place}" for place, reply in part.items())
        parts.append(sorted(part))
    return parts


def test_what_fits_goes_together():
    assert brought(Replies()) == [list(range(10))]
    assert brought(Replies(room=4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert brought(Replies(room=7, least=5)) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_one_that_does_not_fit_is_asked_by_itself_all_the_same():
    assert brought(Replies(room=0, least=0), count=3) == [[0], [1], [2]]


def test_it_asks_within_what_one_call_may_reserve():
    replies = Replies()
    brought(replies, cap_s=60.0)
    assert replies.cap_s == 60.0


@pytest.mark.parametrize("end", ["deadline", CallKilled("Killed."), DeadlineReached("Late.")], ids=repr)
def test_what_a_call_did_not_bring_is_asked_again(end):
    replies = Replies(ends=[(3, end)])
    assert brought(replies) == [[0, 1, 2], [3, 4, 5, 6, 7, 8, 9]]
    assert replies.asked == [list(range(10)), list(range(3, 10))]


@pytest.mark.parametrize("end", ["deadline", "nothing", CallKilled("Killed."), DurationTooLong("Long.")], ids=repr)
def test_a_call_that_brought_none_is_made_again_with_half_of_them(end):
    replies = Replies(ends=[(0, end), (0, end)])
    assert [place for part in brought(replies) for place in part] == list(range(10))
    assert [len(asked) for asked in replies.asked] == [10, 5, 2, 4, 4]


def test_an_answer_that_had_a_call_to_itself_is_cut_at_the_deadline():
    (part,) = batches(Replies(ends=[(0, "deadline")]), count=1)
    assert part[0].ended == "deadline"


@pytest.mark.parametrize("end", ["nothing", CallKilled("Killed."), DurationTooLong("Long.")], ids=repr)
def test_it_gives_up_on_one_that_fails_by_itself(end):
    replies = Replies(ends=[(0, end)] * 4)
    with pytest.raises(gr.Error):
        brought(replies)
    assert [len(asked) for asked in replies.asked] == [10, 5, 2, 1]


@pytest.mark.parametrize("error", [QuotaExceeded("Over."), OutOfMemory("Large.")], ids=repr)
def test_what_fewer_questions_do_not_mend_ends_it_after_what_came(error):
    parts = iter(batches(Replies(ends=[(4, error)])))
    assert sorted(next(parts)) == [0, 1, 2, 3]
    with pytest.raises(gr.Error) as raised:
        next(parts)
    assert raised.value.title == error.title


def test_stop_ends_it_with_what_there_is():
    replies = Replies(ends=[(2, "stopped")])
    assert brought(replies) == [[0, 1]]
    assert len(replies.asked) == 1
