"""An image Space that goes wrong in ways of its own: the width that is asked for says how."""

import os
import signal
import threading
import time

import gradio as gr
import torch
from faulty_widths import BATCH, DECLARED_S, DECODER, DIES, NAN, NAN_DECODER, NEVER, STEPS

from zerokit import ZeroDiffusion
from zerokit.calls.duration import Estimate

OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 3.25 GiB. GPU 0 has a total capacity of 47.37 GiB of which 1.12 GiB is free."
)

demo = ZeroDiffusion(os.environ["IMAGE_MODEL"], title="Faulty", steps=STEPS)
pipe = demo.engine.pipe
singles = 0
learned = demo.model.paint.estimator


def estimate(args: tuple, kwargs: dict, **where: object) -> Estimate:
    seconds = DECLARED_S.get(args[0].request.width)
    return Estimate(seconds, 1) if seconds else type(learned).estimate(learned, args, kwargs, **where)


learned.estimate = estimate


def before_step(unet: torch.nn.Module, args: tuple) -> None:
    """Each picture is there twice, for the prompt and for the negative one."""
    global singles
    width, count = args[0].shape[-1] * pipe.vae_scale_factor, args[0].shape[0] // 2
    if width == NEVER or (width in (BATCH, DIES) and count > 1):
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)
    if width == DIES:
        singles += 1
        if singles > 2 * STEPS:  # two pictures are made; the heartbeat shall carry them out
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)


def after_step(unet: torch.nn.Module, args: tuple, result: tuple) -> tuple | None:
    if args[0].shape[-1] * pipe.vae_scale_factor == NAN:
        return (result[0] * float("nan"),)
    return None


def before_decoding(decoder: torch.nn.Module, args: tuple) -> None:
    if args[0].shape[-1] * pipe.vae_scale_factor == DECODER and args[0].shape[0] > 1:
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)


def after_decoding(decoder: torch.nn.Module, args: tuple, result: torch.Tensor) -> torch.Tensor | None:
    return result * float("nan") if args[0].shape[-1] * pipe.vae_scale_factor == NAN_DECODER else None


pipe.unet.register_forward_pre_hook(before_step)
pipe.unet.register_forward_hook(after_step)
pipe.vae.decoder.register_forward_pre_hook(before_decoding)
pipe.vae.decoder.register_forward_hook(after_decoding)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("zerokit-pump", "zerokit-call"))]


with demo:
    gr.api(threads, api_name="threads", api_visibility="undocumented", queue=False)

demo.launch()
