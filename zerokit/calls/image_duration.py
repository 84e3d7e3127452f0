"""The seconds of pictures: steps of denoising, each for all pixels of all pictures, and the decoding."""

from __future__ import annotations

from typing import Any

from ..requests import ImageReply
from .calibration import Calibration
from .duration import COLD_START_S, LOADING_BYTES_PER_S, Linear


class ImageDuration(Linear):
    """Seconds of a call that makes pictures.

    The first argument of the call has `steps_run`, `passes` (2 with classifier-free guidance, else 1), `images`,
    `megapixels` (of one picture), `active_adapters`, and `to_load`: what may have to be loaded of these, 1 for each
    and 1 for each 100 MB.

    Args:
        parameters: of the denoiser; the prior takes a card that needs 0.03 s for one pass of a billion of them over a
            megapixel, and 0.15 s to decode one; a quarter longer for each adapter that acts, and 0.3 s to load one
            (assumptions, corrected from the first call on).
        packed_bytes: of all weights, for the cold start.
        name: under which it is learned; should name the model.
    """

    USEFUL_STEPS = 4
    """A picture of fewer steps is not worth a run, unless no more were asked for."""

    def __init__(
        self, parameters: int, packed_bytes: int, *, name: str, calibration: Calibration | None = None
    ) -> None:
        step_s = 0.01 + 0.03 * parameters / 1e9
        super().__init__(
            0.3,
            {"steps": 0.01, "denoised": step_s, "decoded": 0.15, "adapted": step_s / 4, "loaded": 0.3},
            cold_s=COLD_START_S + packed_bytes / LOADING_BYTES_PER_S,
            name=name,
            calibration=calibration,
        )

    def features(self, args: Any, kwargs: Any) -> dict[str, float]:
        return _units(args[0], args[0].steps_run, args[0].images)

    def least_features(self, args: Any, kwargs: Any) -> dict[str, float]:
        return _units(args[0], min(self.USEFUL_STEPS, args[0].steps_run), args[0].images)

    def observed_features(self, args: Any, kwargs: Any, value: Any) -> dict[str, float] | None:
        if not isinstance(value, ImageReply) or not value.pictures or value.steps < 1:
            return None
        return _units(args[0], value.steps, len(value.pictures))


class ImagesDuration(ImageDuration):
    """Seconds of a call that makes the pictures of several requests, one request after the other.

    The first argument of the call has `rows`, each as for `ImageDuration`, and `to_load` for all of them.
    """

    def __init__(
        self, parameters: int, packed_bytes: int, *, name: str, calibration: Calibration | None = None
    ) -> None:
        super().__init__(parameters, packed_bytes, name=name, calibration=calibration)
        self.prior = {**self.prior, "row": 0.1}

    def features(self, args: Any, kwargs: Any) -> dict[str, float]:
        return _sum(args[0], [_units(row, row.steps_run, row.images) for row in args[0].rows])

    def least_features(self, args: Any, kwargs: Any) -> dict[str, float]:
        steps = [min(self.USEFUL_STEPS, row.steps_run) for row in args[0].rows]
        return _sum(args[0], [_units(row, few, row.images) for row, few in zip(args[0].rows, steps, strict=True)])

    def observed_features(self, args: Any, kwargs: Any, value: Any) -> dict[str, float] | None:
        if not isinstance(value, list) or not all(isinstance(reply, ImageReply) for reply in value):
            return None
        made = [(row, reply) for row, reply in zip(args[0].rows, value, strict=False) if reply.pictures]
        if not any(reply.steps for _, reply in made):
            return None
        return _sum(args[0], [_units(row, reply.steps, len(reply.pictures)) for row, reply in made])


def _units(work: Any, steps: int, images: int) -> dict[str, float]:
    pixels = work.megapixels * images
    denoised = steps * work.passes * pixels
    return {
        "call": 1.0,
        "steps": steps,
        "denoised": denoised,
        "decoded": pixels,
        "adapted": denoised * work.active_adapters,
        "loaded": work.to_load,
    }


def _sum(work: Any, rows: list[dict[str, float]]) -> dict[str, float]:
    names = rows[0] if rows else ()
    return {
        **{name: sum(row[name] for row in rows) for name in names},
        "call": 1.0,
        "loaded": work.to_load,
        "row": len(rows),
    }
