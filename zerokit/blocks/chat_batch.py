"""Any number of questions in few GPU calls: each takes as many as one call may, the next what is left."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

from zerokit.blocks.chat_model import BatchWork, ChatModel
from zerokit.calls import Outcome, to_gradio
from zerokit.engines.prompts import PreparedBatch
from zerokit.errors import CallKilled, DeadlineReached, DurationTooLong
from zerokit.requests import ChatReply, ChatRequest

_WHOLE = ("complete", "length")
_WITH_FEWER = (CallKilled, DeadlineReached, DurationTooLong)
"""What may go well with fewer questions in one call."""


class Batches:
    """Many questions, of which each is answered once.

    Args:
        model: answers them.
        requests: the questions, all of which are checked here.
        cap_s: seconds that one call of this visitor may reserve; None: as much as with any plan.

    Raises:
        RequestError: there is no question, or one of them or a setting cannot be used.
    """

    def __init__(self, model: ChatModel, requests: Sequence[ChatRequest], cap_s: float | None) -> None:
        self._requests = requests
        self._chats = model.engine.prepare_batch(requests).chats
        self._replies = model.replies.within(None, cap_s)

    def __iter__(self) -> Iterator[dict[int, ChatReply]]:
        """Make one call after the other, and give what each of them brought, by the place of the question.

        An answer that its call did not bring to its end is asked for again in the next; who brought none gets half
        as many. Only where a question that had a call to itself reached the deadline is its answer cut.

        Raises:
            gradio.Error: a call failed of something else. What came before has been given.
        """
        rest = list(range(len(self._requests)))
        most = len(rest)
        while rest:
            places = rest[: self._that_fit(rest[:most])]
            outcome = self._call(places)
            replies = dict(zip(places, outcome.value or [], strict=False))
            alone = len(places) == 1 and outcome.failure is None
            done = {place: reply for place, reply in replies.items() if reply.ended in _WHOLE or alone}
            rest = [place for place in rest if place not in done]
            if done:
                yield done
            if outcome.ended == "stopped":
                return
            failure = outcome.failure or DeadlineReached("There was no time for a single answer.")
            if outcome.failure is not None and not isinstance(failure, _WITH_FEWER):
                raise to_gradio(failure)
            if not done and len(places) == 1:
                raise to_gradio(failure)
            most = 2 * most if done else len(places) // 2

    def _that_fit(self, places: Sequence[int]) -> int:
        """How many of the first of them one call may have; at least one."""
        counts = range(2, len(places) + 1)
        return 1 + bisect.bisect_left(counts, True, key=lambda count: not self._fit(places[:count]))

    def _fit(self, places: Sequence[int]) -> bool:
        try:
            return not self._replies.quote(self._work(places)).shortened
        except DurationTooLong:
            return False

    def _work(self, places: Sequence[int]) -> BatchWork:
        questions = [self._requests[place].messages[-1].content for place in places]
        return BatchWork(PreparedBatch(tuple(self._chats[place] for place in places)), max(questions, key=len))

    def _call(self, places: Sequence[int]) -> Outcome:
        outcome = None
        for beat in self._replies.watched(self._work(places)):
            if isinstance(beat, Outcome):
                outcome = beat
        assert outcome is not None  # the last thing of every call
        return outcome
