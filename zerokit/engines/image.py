"""Models that make pictures: loaded in the main process, run inside a GPU call."""

from __future__ import annotations

import copy
import inspect
import threading
from pathlib import Path
from typing import Any

import torch

from zerokit.control import Control
from zerokit.engines import abilities as abilities_
from zerokit.engines import placement
from zerokit.engines.image_loading import load, quiet
from zerokit.engines.image_prompts import ImagePreparer, PreparedImage
from zerokit.engines.painting import Painting
from zerokit.requests import ImageMode, ImageReply, ImageRequest


class ImageEngine:
    """A model that makes pictures: from a prompt, from a picture, in a part of one, with one copy of its weights.

    Create it at module level, where ZeroGPU can capture its weights. `prepare` belongs into the main process;
    `generate` runs where the GPU is. No request leaves anything behind on the engine: all state rides in what
    `prepare` returns.

    Args:
        model: a repository on the Hub, a folder, or "embedded" for the small model that comes with ZeroKit.
        revision: branch, tag or commit of the repository.
        token: for a private or gated repository; None uses the one the Hub's client knows.
        dtype: "float16", "bfloat16", "float32", or "auto" for the checkpoint's own. Where there is no card, half
            precision is computed in fp32 or bf16.
        quantization: a `PipelineQuantizationConfig` of diffusers.
        trust_remote_code: run code that comes with the model.

    Raises:
        UsageError: an argument cannot be used.
        ModelError: the model cannot be used; a subclass where the reason is a common one.

    Example:
        >>> engine = ImageEngine("embedded")
        >>> prepared = engine.prepare(ImageRequest("a red circle"))
        >>> engine.generate(prepared, Control()).pictures[0].image
    """

    def __init__(
        self,
        model: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        dtype: str | torch.dtype = "float16",
        quantization: Any = None,
        trust_remote_code: bool = False,
    ) -> None:
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
        modules = [part for part in self.pipe.components.values() if isinstance(part, torch.nn.Module)]
        self.packed_bytes = placement.packed_bytes(torch.nn.ModuleList(modules))
        self.denoiser = abilities_.denoiser(self.pipe)
        self.parameters = sum(parameter.numel() for parameter in self.denoiser.parameters())
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

    def prepare(self, request: ImageRequest) -> PreparedImage:
        """The request with everything settled: sizes, seed, scheduler, picture and mask. For the main process.

        Raises:
            RequestError: the model cannot do what is asked.
        """
        return self._preparer.prepare(request)

    def generate(self, prepared: PreparedImage, control: Control) -> ImageReply:
        """Make the pictures of one request.

        Args:
            prepared: from `prepare`.
            control: asked after every step whether to stop; gets an `ImageReply` with the pictures that are finished.

        Raises:
            OutOfMemory: not even one picture alone fits.
            NonFinite: the model computed NaN or infinity.
        """
        while not self._busy.acquire(timeout=0.1):
            if (reason := control.stop_reason()) is not None:
                return ImageReply((), reason, steps_asked=prepared.steps_run)
        try:
            with quiet():
                return Painting(self, prepared, control).run()
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
