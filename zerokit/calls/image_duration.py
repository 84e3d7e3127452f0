"""The seconds of pictures: steps of denoising, each for all pixels of all pictures, and the decoding."""

from __future__ import annotations

from typing import Any

from ..requests import ImageReply
from .calibration import Calibration
from .duration import COLD_START_S, LOADING_BYTES_PER_S, Linear


class ImageDuration(Linear):
    """Seconds of a call that makes pictures.

    The first argument of the call has `steps_run`, `passes` (2 with classifier-free guidance, else 1), `images` and
    `megapixels` (of one picture).

    Args:
        parameters: of the denoiser; the prior takes a card that needs 0.03 s for one pass of a billion of them over a
            megapixel, and 0.15 s to decode one (assumptions, corrected from the first call on).
        packed_bytes: of all weights, for the cold start.
        name: under which it is learned; should name the model.
    """

    USEFUL_STEPS = 4
    """A picture of fewer steps is not worth a run, unless no more were asked for."""

    def __init__(
        self, parameters: int, packed_bytes: int, *, name: str, calibration: Calibration | None = None
    ) -> None:
        super().__init__(
            0.3,
            {"steps": 0.01, "denoised": 0.01 + 0.03 * parameters / 1e9, "decoded": 0.15},
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


def _units(work: Any, steps: int, images: int) -> dict[str, float]:
    pixels = work.megapixels * images
    return {"call": 1.0, "steps": steps, "denoised": steps * work.passes * pixels, "decoded": pixels}
