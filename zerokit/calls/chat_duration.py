"""The seconds of answers: prompt tokens read, and new tokens written at the length that replies really have."""

from __future__ import annotations

from typing import Any

from ..requests import ChatReply
from .calibration import Calibration, Kind
from .duration import COLD_START_S, LOADING_BYTES_PER_S, Linear
from .lengths import AMPLE_QUANTILE, QUANTILE


class ChatDuration(Linear):
    """Seconds of an answer: prompt tokens read, new tokens written at the length that replies really have.

    The first argument of the call has `prompt_tokens`, `max_new_tokens`, `question`, `active_adapters`, and `to_load`:
    what may have to be loaded of these, 1 for each and 1 for each 100 MB.

    Args:
        parameters: of the model; the prior takes a card that reads 20,000 and writes 1,000 tokens per second for a
            billion of them; a third longer for each adapter that acts, and 0.3 s to load one (assumptions, corrected
            from the first call on).
        packed_bytes: of the weights, for the cold start.
        name: under which it is learned; should name the model.
    """

    USEFUL_TOKENS = 16
    """An answer shorter than that is not worth a run."""
    MARGIN_S = 0.5
    """The most time before the end: a chat notices at the next token, and its tokens do not slow down with it."""

    def __init__(
        self, parameters: int, packed_bytes: int, *, name: str, calibration: Calibration | None = None
    ) -> None:
        billions = max(0.1, parameters / 1e9)
        token_s = billions / 1_000 + 0.01
        super().__init__(
            0.3,
            {"prompt_tokens": billions / 20_000, "new_tokens": token_s, "adapted": token_s / 3, "loaded": 0.3},
            cold_s=COLD_START_S + packed_bytes / LOADING_BYTES_PER_S,
            name=name,
            calibration=calibration,
        )

    def margin_s(self, granted_s: float) -> float:
        return min(self.MARGIN_S, super().margin_s(granted_s))

    def features(self, args: Any, kwargs: Any) -> dict[str, float]:
        return self._features(args[0], QUANTILE)

    def ample_features(self, args: Any, kwargs: Any) -> dict[str, float]:
        return self._features(args[0], AMPLE_QUANTILE)

    def _features(self, work: Any, quantile: float) -> dict[str, float]:
        return _units(work, self.kind.lengths.forecast(work.question, work.max_new_tokens, quantile))

    def least_features(self, args: Any, kwargs: Any) -> dict[str, float]:
        return _units(args[0], min(self.USEFUL_TOKENS, args[0].max_new_tokens))

    def observed_features(self, args: Any, kwargs: Any, value: Any) -> dict[str, float] | None:
        if not isinstance(value, ChatReply) or value.new_tokens < 1:
            return None
        return _units(args[0], value.new_tokens)

    def learn(self, kind: Kind, args: Any, value: Any, finished: bool) -> None:
        if isinstance(value, ChatReply) and value.new_tokens and value.ended != "stopped":
            cut = value.ended in ("deadline", "interrupted", "length")
            kind.lengths.observe(args[0].question, value.new_tokens, cut)


class BatchDuration(ChatDuration):
    """Seconds of many answers side by side: as long as the longest, and something for each row.

    The first argument of the call has `prompt_tokens` (of all rows), `max_new_tokens` (of one), `rows`,
    `question`, `active_adapters` (of the row that has the most) and `to_load` (of all).
    """

    def __init__(
        self, parameters: int, packed_bytes: int, *, name: str, calibration: Calibration | None = None
    ) -> None:
        super().__init__(parameters, packed_bytes, name=name, calibration=calibration)
        self.prior = {**self.prior, "row_tokens": self.prior["new_tokens"] / 10}

    def _features(self, work: Any, quantile: float) -> dict[str, float]:
        one = super()._features(work, quantile)
        return {**one, "row_tokens": one["new_tokens"] * work.rows}

    def least_features(self, args: Any, kwargs: Any) -> dict[str, float]:
        one = super().least_features(args, kwargs)
        return {**one, "row_tokens": one["new_tokens"] * args[0].rows}

    def observed_features(self, args: Any, kwargs: Any, value: Any) -> dict[str, float] | None:
        if not isinstance(value, list) or not all(isinstance(reply, ChatReply) for reply in value):
            return None
        lengths = [reply.new_tokens for reply in value]
        if not any(lengths):
            return None
        return {**_units(args[0], max(lengths)), "row_tokens": sum(lengths)}

    def learn(self, kind: Kind, args: Any, value: Any, finished: bool) -> None:
        for reply in value if isinstance(value, list) else []:
            super().learn(kind, args, reply, finished)


def _units(work: Any, tokens: int) -> dict[str, float]:
    return {
        "call": 1.0,
        "prompt_tokens": work.prompt_tokens,
        "new_tokens": tokens,
        "adapted": tokens * work.active_adapters,
        "loaded": work.to_load,
    }
