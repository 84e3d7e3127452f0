"""Models that make pictures: loaded in the main process, run inside a GPU call."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from zerokit.adapters import AdapterSpec
from zerokit.control import Control
from zerokit.engines import abilities as abilities_
from zerokit.engines import placement
from zerokit.engines.adapted import AdaptedEngine
from zerokit.engines.image_adapters import ImageAdapters
from zerokit.engines.image_loading import load, quiet
from zerokit.engines.image_prompts import ImagePreparer, PreparedImage, PreparedImages
from zerokit.engines.image_rows import paint_rows
from zerokit.engines.painting import Painting
from zerokit.engines.shelf import Adapter, base_of_first, find_adapter
from zerokit.errors import RequestError
from zerokit.requests import ImageMode, ImageReply, ImageRequest


class ImageEngine(AdaptedEngine):
    """A model that makes pictures: from a prompt, from a picture, in a part of one, with one copy of its weights.

    Create it at module level, where ZeroGPU can capture its weights. `prepare` belongs into the main process;
    `generate` runs where the GPU is. No request leaves anything behind on the engine: all state rides in what
    `prepare` returns.

    Args:
        model: a repository on the Hub, a folder, or "embedded" for the small model that comes with ZeroKit; None: the
            one that the first adapter names as its base.
        adapters: LoRA adapters that a request can choose, alone or several at once, each as strongly as it likes.
        merge: one adapter that is always active: added to the weights once, so that no step takes longer for it.
        any_base: use adapters that name another base as well, where their layers fit.
        revision: branch, tag or commit of the repository.
        token: for a private or gated repository; None uses the one the Hub's client knows.
        dtype: "float16", "bfloat16", "float32", or "auto" for the checkpoint's own. Where there is no card, half
            precision is computed in fp32 or bf16.
        quantization: a `PipelineQuantizationConfig` of diffusers.
        trust_remote_code: run code that comes with the model.

    Raises:
        UsageError: an argument cannot be used.
        ModelError: the model cannot be used; a subclass where the reason is a common one.

    Examples:
        >>> engine = ImageEngine("embedded")
        >>> prepared = engine.prepare(ImageRequest("a red circle"))
        >>> engine.generate(prepared, Control()).pictures[0].image
    """

    kind = "image"
    _adapters: ImageAdapters

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        adapters: Sequence[AdapterSpec | str | Path] = (),
        merge: AdapterSpec | str | Path | None = None,
        any_base: bool = False,
        revision: str | None = None,
        token: str | None = None,
        dtype: str | torch.dtype = "float16",
        quantization: Any = None,
        trust_remote_code: bool = False,
    ) -> None:
        specs = [AdapterSpec.of(given) for given in adapters]
        merged = [] if merge is None else [AdapterSpec.of(merge)]
        if model is None:
            model = base_of_first([*merged, *specs], kind="image", token=token)
        found = [find_adapter(spec, kind="image", token=token) for spec in (*merged, *specs)]
        loaded = load(
            model,
            revision=revision,
            token=token,
            dtype=placement.load_dtype(dtype),
            quantization=quantization,
            trust_remote_code=trust_remote_code,
        )
        self.name = loaded.name
        self.pipe = loaded.pipe
        self._classes = loaded.classes
        self.denoiser = abilities_.denoiser(self.pipe)
        self.parameters = sum(parameter.numel() for parameter in self.denoiser.parameters())
        self._adapters = ImageAdapters(self.pipe, self.name, any_base=any_base)
        if merged:
            self._adapters.merge(found.pop(0), merged[0].weight)
        for adapter in found:
            self._adapters.add(adapter, stays=True)
        modules = [part for part in self.pipe.components.values() if isinstance(part, torch.nn.Module)]
        self.packed_bytes = placement.packed_bytes(torch.nn.ModuleList(modules))
        with quiet():
            self._schedulers = abilities_.schedulers(self.pipe)
            self.abilities = abilities_.look(self.pipe, loaded.classes, loaded.card, tuple(self._schedulers))
            for module in modules:
                placement.place(module, quantized=getattr(module, "hf_quantizer", None) is not None)
        sequence = inspect.signature(type(self.pipe).__call__).parameters.get("max_sequence_length")
        self._preparer = ImagePreparer(
            self.abilities,
            abilities_.tokenizers(self.pipe),
            None if sequence is None else sequence.default,
            steps_run=self.steps_run,
            both_prompts=lambda guidance: abilities_.runs_both_prompts(self.pipeline("text"), guidance),
        )
        # Pipelines cast, tile and slice the modules that they share, in place: one run at a time.
        self._busy = threading.Lock()

    def prepare(self, request: ImageRequest, *, extra: Sequence[Adapter] = ()) -> PreparedImage:
        """The request with everything settled: sizes, seed, scheduler, picture and mask. For the main process.

        Args:
            request: what is asked.
            extra: adapters from `find_adapter` that the request can name besides the engine's own; they are loaded
                for this one call.

        Raises:
            RequestError: the model cannot do what is asked, or there is no adapter of a name.
        """
        away, extra = self._adapters.shelf.bring([choice.name for choice in request.adapters], extra)
        return replace(self._preparer.prepare(request), away=away, extra=extra)

    def prepare_batch(self, requests: Sequence[ImageRequest], *, extra: Sequence[Adapter] = ()) -> PreparedImages:
        """Several requests for one call, each with its own adapters; `extra` as for `prepare`.

        Raises:
            RequestError: there is none, or one of them cannot be used; the message says which.
        """
        if not requests:
            raise RequestError("There is no picture to make.")
        rows = []
        for number, request in enumerate(requests, 1):
            try:
                rows.append(self.prepare(request, extra=extra))
            except RequestError as exc:
                raise RequestError(f"Picture {number} of {len(requests)}: {exc.message}") from exc
        return PreparedImages(tuple(rows))

    def generate(self, prepared: PreparedImage, control: Control) -> ImageReply:
        """Make the pictures of one request.

        Args:
            prepared: from `prepare`.
            control: asked after every step whether to stop; gets an `ImageReply` with the pictures that are finished.

        Raises:
            OutOfMemory: not even one picture alone fits.
            NonFinite: the model computed NaN or infinity.
            AdapterError: an adapter that had to be loaded cannot be.
        """
        with self._alone(control) as come:
            if not come:
                return ImageReply((), control.stop_reason() or "deadline", steps_asked=prepared.steps_run)
            with self._adapters.loaded([prepared]) as internal, self._adapters.active(prepared, internal):
                return Painting(self, prepared, control).run()

    def generate_batch(self, prepared: PreparedImages, control: Control) -> list[ImageReply]:
        """Make the pictures of several requests one after the other, each with a fair part of the time.

        Args:
            prepared: from `prepare_batch`.
            control: as for `generate`; it gets a list of replies, in the order of the requests.

        Raises:
            OutOfMemory: not even one picture alone fits, and nothing else was made.
            NonFinite: the model computed NaN or infinity, and nothing else was made.
            AdapterError: an adapter that had to be loaded cannot be.
        """
        with self._alone(control) as come:
            if not come:
                reason = control.stop_reason() or "deadline"
                return [ImageReply((), reason, steps_asked=row.steps_run) for row in prepared.rows]
            with self._adapters.loaded(prepared.rows) as internal:

                def paint(row: PreparedImage, share: Control) -> ImageReply:
                    with self._adapters.active(row, internal):
                        return Painting(self, row, share).run()

                return paint_rows(prepared.rows, control, paint)

    @contextmanager
    def _alone(self, control: Control) -> Iterator[bool]:
        """Wait for a turn; False where the call must end first."""
        while not self._busy.acquire(timeout=0.1):
            if control.stop_reason() is not None:
                yield False
                return
        try:
            with quiet():
                yield True
        finally:
            self._busy.release()

    def pipeline(self, mode: ImageMode, scheduler: str = "") -> Any:
        """A pipeline for one call: the weights are shared, the scheduler is its own."""
        from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting, AutoPipelineForText2Image

        makers = {
            "text": AutoPipelineForText2Image,
            "image": AutoPipelineForImage2Image,
            "inpaint": AutoPipelineForInpainting,
        }
        own: dict[str, Any] = {}
        for name, part in self.pipe.components.items():
            if name == "scheduler" and scheduler:
                own[name] = copy.deepcopy(self._schedulers[scheduler])
            elif "scheduler" in name and part is not None:
                own[name] = copy.deepcopy(part)
        with quiet():
            pipe = makers[mode].from_pipe(self.pipe, **own)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def steps_run(self, mode: ImageMode, scheduler: str, steps: int, strength: float) -> int:
        """How many of `steps` the pipeline really runs; 0 where it cannot run with these."""
        pipe = self.pipeline(mode, scheduler)
        weakened = mode != "text" and "strength" in inspect.signature(type(pipe).__call__).parameters
        takes = inspect.signature(pipe.scheduler.set_timesteps).parameters
        if "original_inference_steps" in takes:
            # Distilled schedulers pick from the steps that they were distilled from; all that are asked for run.
            try:
                pipe.scheduler.set_timesteps(
                    steps, **({"strength": strength} if weakened and "strength" in takes else {})
                )
            except ValueError:
                return 0
            return steps
        if not weakened:
            return steps
        if not hasattr(pipe, "get_timesteps"):
            return int(steps * strength)
        dynamic = bool(pipe.scheduler.config.get("use_dynamic_shifting"))
        device = {"device": "cpu"} if "device" in inspect.signature(pipe.get_timesteps).parameters else {}
        with quiet():
            pipe.scheduler.set_timesteps(steps, **({"mu": 1.0} if dynamic else {}))
            _, run = pipe.get_timesteps(steps, strength, **device)
        return int(run)
