"""One run of a pipeline through its steps: watched, ended in time, with the picture that can be seen already."""

from __future__ import annotations

import functools
import math
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from zerokit.control import Control, StopReason
from zerokit.errors import NonFinite

DECODE_STEPS = 2.0
"""Decoding is taken to last as long as so many steps."""
_MARGIN = 0.95
LEAST_PART = 0.25
"""Starting again is worth it from this part of the asked steps on."""
LEAST_SHOWN = 1 / 3
"""After Stop there is a picture from this part of the steps on."""
FIRST_SHARE = 1 / 4
"""Of a denoiser's very first run in a process so much is supposed to be work, the rest is its start."""

_have_run: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()
"""Denoisers that made a step in this process."""


class StartAgain(Exception):
    """Only `steps` steps fit into the time that is left."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self.steps = steps


class NothingToShow(Exception):
    """Stopped before there is anything to see."""


def sigma_at(scheduler: Any, timestep: Any, index: int | None, *, halfway: bool = False) -> tuple[float, float]:
    """Signal and noise of a sample at a step: sample = signal * clean + noise * eps.

    Args:
        scheduler: any of diffusers'.
        timestep: what the pipeline gives to `step`.
        index: the scheduler's `step_index` before the step; None where it counts none.
        halfway: in the second half of a step of second order.
    """
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is not None and index is not None:
        between = getattr(scheduler, "sigmas_interpol", None)
        if halfway and between is not None:
            # The ancestral one counts the points between from 0 (`scale_model_input`, diffusers 0.42).
            sigma = float(between[index - ("Ancestral" in type(scheduler).__name__)])
        else:
            sigma = float(sigmas[index])
        if is_flow(scheduler):
            return 1 - sigma, sigma
        if hasattr(scheduler, "_sigma_to_alpha_sigma_t"):
            signal, noise = scheduler._sigma_to_alpha_sigma_t(torch.tensor(sigma))
            return float(signal), float(noise)
        return 1.0, sigma
    alpha = float(scheduler.alphas_cumprod[int(timestep)])
    return math.sqrt(alpha), math.sqrt(1 - alpha)


def is_flow(scheduler: Any) -> bool:
    """Whether its model predicts a velocity from the picture to the noise."""
    config = scheduler.config
    return (
        type(scheduler).__name__.startswith("FlowMatch")
        or config.get("prediction_type") == "flow_prediction"
        or bool(config.get("use_flow_sigmas"))
    )


def clean_part(scheduler: Any, output: torch.Tensor, sample: torch.Tensor, signal: float, noise: float) -> torch.Tensor:
    """The picture (latents as `sample`) that the model sees in `sample`, from its output."""
    output, sample = output.float(), sample.float()
    if output.shape != sample.shape and output.shape[1] == 2 * sample.shape[1]:
        output = output[:, : sample.shape[1]]
    if is_flow(scheduler):
        return sample - noise * output
    kind = scheduler.config.get("prediction_type", "epsilon")
    if kind == "sample":
        return output
    # Where the signal is never dampened, the model sees sample / scale, which has unit variance.
    scale = math.hypot(signal, noise)
    if kind == "v_prediction":
        return (signal * sample / scale - noise * output) / scale
    return (sample - noise * output) / max(signal, 1e-4)


def perfect_output(scheduler: Any, clean: torch.Tensor, timestep: Any, sample: torch.Tensor) -> torch.Tensor:
    """What a model says that sees `clean` in `sample`: the other way round from `clean_part`."""
    signal, noise = sigma_at(scheduler, timestep, _index(scheduler, timestep), halfway=is_halfway(scheduler))
    if is_flow(scheduler):
        return (sample - clean) / max(noise, 1e-6)
    kind = scheduler.config.get("prediction_type", "epsilon")
    if kind == "sample":
        return clean
    scale = math.hypot(signal, noise)
    if kind == "v_prediction":
        return (signal * sample / scale - scale * clean) / max(noise, 1e-6)
    return (sample - signal * clean) / max(noise, 1e-6)


def is_halfway(scheduler: Any) -> bool:
    """Whether the next call of `step` is the second half of a step of second order."""
    return getattr(scheduler, "order", 1) == 2 and not getattr(scheduler, "state_in_first_order", True)


def _index(scheduler: Any, timestep: Any) -> int | None:
    index = getattr(scheduler, "step_index", None)
    if index is None and hasattr(scheduler, "index_for_timestep"):
        begin = getattr(scheduler, "begin_index", None)
        return int(scheduler.index_for_timestep(timestep)) if begin is None else int(begin)
    return None if index is None else int(index)


class Denoising:
    """Watches the steps of one pipeline call, and ends them in time.

    Only the scheduler's `step` is looked at, which every pipeline calls. To end early, `step` gives back the picture
    that the model sees already instead of a less noisy sample, noise is no longer added to what an inpainting
    pipeline keeps, and what is left of the loop costs nothing: `interrupt` skips it where the pipeline knows that,
    and the denoiser repeats its last output where it does not.

    Args:
        pipe: made for this call, with a scheduler of its own.
        model: its denoiser, which nobody else uses meanwhile.
        control: the call.
        steps: how many it will run.
        share: which part of the time left is for this run.
        whole: all of the scheduler's steps run, not only the last of them.
        may_start_again: raise StartAgain where fewer steps fit.
        heavy: decoding will take longer than usual, in tiles.
        report: gets the number of steps done.
        preview: gets the latents of the picture seen so far; they are made only when `wants_preview` says so.
    """

    def __init__(
        self,
        pipe: Any,
        model: torch.nn.Module,
        control: Control,
        *,
        steps: int,
        share: float = 1.0,
        whole: bool = True,
        may_start_again: bool = True,
        heavy: bool = False,
        report: Callable[[int], None],
        wants_preview: Callable[[], bool] = lambda: False,
        preview: Callable[[torch.Tensor], None] | None = None,
    ) -> None:
        self.ended: StopReason | None = None
        self.steps = steps
        self._pipe, self._model, self._control = pipe, model, control
        self._scheduler = pipe.scheduler
        self._share, self._may_start_again = share, may_start_again
        self._decode_steps = DECODE_STEPS * (2 if heavy else 1)
        self._report, self._wants_preview, self._preview = report, wants_preview, preview
        self._whole = whole
        self._calls = 0
        self._is_first_run = model not in _have_run
        self._began = self._entered = time.monotonic()
        self._first = self._last = 0.0
        self._clean: torch.Tensor | None = None

    @property
    def total(self) -> int:
        """Calls of `step` in all: a step of second order is two."""
        known = getattr(self._pipe, "_num_timesteps", 0)
        if not known and self._whole:
            known = len(self._scheduler.timesteps)
        return int(known or self.steps * getattr(self._scheduler, "order", 1))

    @property
    def step_s(self) -> float:
        """Seconds of one step, as far as they were measured; else 0."""
        if self._calls < 1:
            return 0.0
        if self._calls == 1:
            call_s = (self._first - self._entered) * (FIRST_SHARE if self._is_first_run else 1)
        else:
            call_s = (self._last - self._first) / (self._calls - 1)
        return call_s * self.total / self.steps

    @property
    def done(self) -> int:
        """Steps done."""
        return min(self.steps, round(self._calls * self.steps / max(1, self.total)))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the pipeline's steps while the block runs."""
        scheduler, step, forward = self._scheduler, self._scheduler.step, self._model.forward
        before = self._model.__dict__.get("forward")
        last: list[Any] = []

        @functools.wraps(step)
        def watched(model_output: Any, timestep: Any, sample: Any, *args: Any, **more: Any) -> Any:
            index, halfway = _index(scheduler, timestep), is_halfway(scheduler)
            result = step(model_output, timestep, sample, *args, **more)
            if self._clean is None:

                def clean() -> torch.Tensor:
                    signal, noise = sigma_at(scheduler, timestep, index, halfway=halfway)
                    return clean_part(scheduler, model_output, sample, signal, noise).to(sample.dtype)

                self._after(model_output, clean)
            return result if self._clean is None else _replaced(result, sample, self._clean)

        @functools.wraps(forward)
        def run(*args: Any, **more: Any) -> Any:
            if not last:
                self._entered = time.monotonic()
            if self._clean is None or not last:
                last[:] = [forward(*args, **more)]
            return last[0]

        noising = {name: getattr(scheduler, name) for name in ("add_noise", "scale_noise") if hasattr(scheduler, name)}
        for name, original in noising.items():
            setattr(scheduler, name, self._noising(original))
        scheduler.step = watched
        self._model.forward = run
        try:
            yield
        finally:
            del self._model.forward
            if before is not None:
                self._model.forward = before
            scheduler.step = step

    def _noising(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def noised(sample: Any = None, *args: Any, **more: Any) -> Any:
            if self._clean is not None:
                return sample if sample is not None else more["original_samples"]
            return original(*args, **more) if sample is None else original(sample, *args, **more)

        return noised

    def _after(self, output: torch.Tensor, clean: Callable[[], torch.Tensor]) -> None:
        self._calls += 1
        # Reading this back also waits for the device: without it no step's time could be measured.
        if not torch.isfinite(output).all():
            raise not_finite(f"step {self.done} of {self.steps}")
        now = time.monotonic()
        self._last = now
        if self._calls == 1:
            self._first = now
            _have_run.add(self._model)
        self._report(self.done)
        if self._calls >= self.total:
            return
        self.ended = self._control.stop_reason() or self._by_time()
        if self.ended is not None:
            if self.ended == "stopped" and self.done < LEAST_SHOWN * self.steps:
                raise NothingToShow
            self._clean = clean()
            self._pipe._interrupt = True
        elif self._preview is not None and self._wants_preview():
            self._preview(clean())

    def _by_time(self) -> StopReason | None:
        """Whether to end now for the time's sake.

        Raises:
            StartAgain: with fewer steps it fits.
        """
        left = self._control.left_s * self._share
        if math.isinf(left):
            return None
        step_s = self.step_s
        call_s = step_s * self.steps / self.total
        decode_s = step_s * self._decode_steps
        rest_s = (self.total - self._calls) * call_s
        if rest_s + decode_s <= left:
            return None
        if self._may_start_again and self._calls == 2:
            setup_s = max(0.0, self._first - self._began - step_s)
            fit = int((left * _MARGIN - setup_s - decode_s) / step_s) if step_s > 0 else self.steps
            if max(2, math.ceil(self.steps * LEAST_PART)) <= fit < self.steps:
                raise StartAgain(fit)
        return "deadline" if call_s + decode_s > left else None


def _replaced(result: Any, sample: torch.Tensor, clean: torch.Tensor) -> Any:
    """What `step` gives back, with `clean` for every sample in it."""
    if isinstance(result, tuple):
        return tuple(clean if torch.is_tensor(part) and part.shape == sample.shape else part for part in result)
    result.prev_sample = clean
    return result


def not_finite(where: str) -> NonFinite:
    """What to say where a model computed NaN or infinity."""
    return NonFinite(
        f'The model computed NaN or infinity at {where}. Load it with dtype="bfloat16", or take another scheduler or '
        "less guidance."
    )
