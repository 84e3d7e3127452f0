"""The recipe of the embedded image model: `python -m zerokit.embedded.image`.

It trains the model from scratch on pictures that it draws itself, measures it, and writes it with its card:

    python -m zerokit.embedded.image --out image-model --seed 0
    python -m zerokit.embedded.image --evaluate                # the model that ships
    python -m zerokit.embedded.image --evaluate image-model    # another one
    python -m zerokit.embedded.image --sheet sheet.png         # ten pictures of the model that ships
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import diffusers
import torch
import transformers

from zerokit.embedded import path
from zerokit.embedded.figures import as_table
from zerokit.embedded.image_figures import evaluate, load, sheet
from zerokit.embedded.image_model import GUIDANCE, STEPS, save
from zerokit.embedded.image_train import Recipe, Trained, train

_SHIPPED = "shipped"
_THREADS = 2
"""The number changes the order of additions, and so the weights in their last bits."""

_CARD = """\
---
license: apache-2.0
language: en
library_name: diffusers
pipeline_tag: text-to-image
tags: [zerokit, demonstration, stable-diffusion]
inference:
  parameters:
    num_inference_steps: {steps}
    guidance_scale: {guidance}
---
# The embedded image model of ZeroKit

A tiny Stable Diffusion pipeline that draws coloured shapes of 64 x 64 pixels, so that an image app can be tried at
once on any computer. It knows twelve colours, six shapes, twelve backgrounds, one to three things, sizes and places,
and nothing else. It is trained from scratch on pictures that its recipe draws: no other model and no other data went
into it.

```
python -m zerokit.embedded.image {arguments}
```

makes it again: {core_s:.0f} core-seconds, {minutes:.0f} minutes on the clock, final loss {loss:.4f}.
`python -m zerokit.embedded.image --evaluate` measured, with {steps} steps and guidance {guidance}:

{table}

Right means: the picture shows each thing that the prompt names in its colour and shape, on the background, in the
size and at the place that the prompt names, and nothing else. Licence: Apache 2.0.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, evaluate or draw a sheet, as the command line says."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    if options.evaluate or options.sheet:
        folder = path("image") if options.evaluate in (None, _SHIPPED) else Path(options.evaluate)
        if options.sheet:
            sheet(load(folder), seed=options.seed).save(options.sheet)
            print(f"Drew {options.sheet}")
        if options.evaluate:
            print(as_table(evaluate(folder)))
        return 0
    recipe = Recipe(seed=options.seed, steps=options.steps, autoencoder_steps=options.autoencoder_steps)
    trained = train(recipe)
    print(f"Trained in {trained.core_s:.0f} core-seconds, {trained.wall_s / 60:.0f} minutes")
    save(trained.pipeline, options.out)
    write_card(options.out, recipe, trained, options.threads)
    print(f"Saved to {options.out}")
    return 0


def write_card(folder: Path, recipe: Recipe, trained: Trained, threads: int) -> None:
    """Measure the saved model and write its card with the figures."""
    table = as_table(evaluate(folder))
    print(table)
    last = trained.losses[-50:]
    text = _CARD.format(
        steps=STEPS,
        guidance=GUIDANCE,
        arguments=f"--seed {recipe.seed} --steps {recipe.steps} --threads {threads}",
        core_s=trained.core_s,
        minutes=trained.wall_s / 60,
        loss=sum(last) / len(last),
        table=table,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    (folder / "README.md").chmod(0o644)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m zerokit.embedded.image",
        description="Train the embedded image model from scratch, measure one, or look at its pictures.",
    )
    add, defaults = parser.add_argument, Recipe()
    add("--out", type=Path, default=Path("image-model"), help="folder to write to (%(default)s)")
    add("--seed", type=int, default=defaults.seed, help="seed of the training or of the sheet (%(default)s)")
    add("--threads", type=int, default=_THREADS, help="of torch (%(default)s)")
    add("--steps", type=int, default=defaults.steps, help="training steps of the UNet (%(default)s)")
    add("--autoencoder-steps", type=int, default=defaults.autoencoder_steps, help="of the autoencoder (%(default)s)")
    add("--evaluate", nargs="?", const=_SHIPPED, metavar="DIR", help="only measure: the shipped model, or DIR")
    add("--sheet", type=Path, metavar="FILE", help="only draw ten pictures onto one: of the shipped model, or DIR's")
    return parser


if __name__ == "__main__":
    sys.exit(main())
