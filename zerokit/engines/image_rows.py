"""Several requests for pictures in one call: one after the other, each with its part of the time."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from zerokit.control import Control, StopReason
from zerokit.engines.image_prompts import PreparedImage
from zerokit.requests import ImageReply

_log = logging.getLogger(__name__)
Paint = Callable[[PreparedImage, Control], ImageReply]


class _Share(Control):
    """A call as one of its rows sees it.

    Args:
        whole: the call.
        part: of the time that is left, for this row.
        progress: gets the steps that are done, of this row, and a few words.
        made: gets what the row has.
    """

    def __init__(
        self,
        whole: Control,
        part: float,
        progress: Callable[[float, str], None],
        made: Callable[[Any], None],
    ) -> None:
        left_s = whole.left_s
        self._for_others_s = 0.0 if math.isinf(left_s) else left_s * (1 - part)
        super().__init__(whole.deadline - self._for_others_s)
        self._whole, self._tell, self._hand = whole, progress, made

    @property
    def left_s(self) -> float:
        return max(0.0, self._whole.left_s - self._for_others_s)

    def stop_reason(self) -> StopReason | None:
        return self._whole.stop_reason() or (None if self.left_s > 0 else "deadline")

    def report(
        self, done: float | None = None, total: float | None = None, text: str = "", *, made: Any = None
    ) -> None:
        super().report(done, total, text, made=made)
        self._tell(done or 0.0, text)
        if made is not None:
            self._hand(made)


def paint_rows(rows: Sequence[PreparedImage], control: Control, paint: Paint) -> list[ImageReply]:
    """Paint each row.

    What a row fails with is told in its reply, unless none came to anything.

    Args:
        rows: the requests.
        control: gets the replies of all rows, as far as they are, and the steps of all.
        paint: paints one.

    Returns:
        One reply for each row; without pictures where the time ended or the visitor stopped before.
    """
    replies = [ImageReply((), "interrupted", steps_asked=row.steps_run) for row in rows]
    costs = [row.steps_run * row.passes * row.megapixels * row.images for row in rows]
    total = sum(row.steps_run for row in rows)
    failed: Exception | None = None
    for place, row in enumerate(rows):
        before = sum(other.steps_run for other in rows[:place])

        def tell(done: float, text: str, before: int = before) -> None:
            control.report(round(before + done, 2), total, text)

        def hand(made: Any, place: int = place) -> None:
            replies[place] = made
            _, progress, _ = control.look()
            control.report(progress.done, progress.total, progress.text, made=list(replies))

        share = _Share(control, costs[place] / sum(costs[place:]), tell, hand)
        try:
            replies[place] = paint(row, share)
        except Exception as exc:  # noqa: BLE001 - one row must not cost the others; where all fail, it is raised
            _log.warning("One of %d requests failed", len(rows), exc_info=True)
            failed = failed or exc
            note = str(getattr(exc, "message", type(exc).__name__))
            replies[place] = ImageReply((), "interrupted", steps_asked=row.steps_run, notes=(note,))
        hand(replies[place])
    if failed is not None and not any(reply.pictures for reply in replies):
        raise failed
    return replies
