"""The recipe of the embedded chat model: `python -m zerokit.embedded.chat`.

It trains the model from scratch from the texts in `chat_data`, measures it, and writes it with its card:

    python -m zerokit.embedded.chat --out chat-model --seed 0
    python -m zerokit.embedded.chat --evaluate              # the model that ships
    python -m zerokit.embedded.chat --evaluate chat-model   # another one
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers.utils import logging

from zerokit.embedded import path
from zerokit.embedded.chat_evaluate import evaluate
from zerokit.embedded.chat_model import save
from zerokit.embedded.chat_review import review
from zerokit.embedded.chat_train import Recipe, Trained, train
from zerokit.embedded.figures import as_table

_SHIPPED = "shipped"
_THREADS = 1
"""Those of the shipped weights. The number changes the order of additions, and so the weights in their last bits; a
second thread on a quiet machine makes a step 1.7 times as fast."""

_CARD = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
tags: [zerokit, demonstration]
---
# The embedded chat model of ZeroKit

A tiny Llama that answers questions about ZeroGPU and ZeroKit, so that a chat app can be tried at once on any
computer. It knows what its recipe taught it and nothing else, and can make mistakes. It is trained from
scratch on texts that were written for it: no other model and no other data went into it.

```
python -m zerokit.embedded.chat --seed {seed} --steps {steps}
```

makes it again: {core_s:.0f} seconds of one CPU core, final loss {loss:.4f}.
`python -m zerokit.embedded.chat --evaluate` measured:

{table}

Right means: the greedy answer is the expected one, token for token. Licence: Apache 2.0.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train or evaluate, as the command line says."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    logging.disable_progress_bar()
    if options.evaluate:
        folder = path("chat") if options.evaluate == _SHIPPED else Path(options.evaluate)
        print(as_table(evaluate(folder)))
        return 0
    recipe = Recipe(seed=options.seed, steps=options.steps)
    core = time.process_time()
    trained = train(recipe)
    review(trained.model, trained.tokenizer, recipe)
    trained = replace(trained, core_s=time.process_time() - core)
    print(f"Trained in {trained.core_s:.0f} core-seconds")
    save(trained.model, trained.tokenizer, options.out)
    write_card(options.out, recipe, trained)
    print(f"Saved to {options.out}")
    return 0


def write_card(folder: Path, recipe: Recipe, trained: Trained) -> None:
    """Measure the saved model and write its card with the figures."""
    table = as_table(evaluate(folder))
    print(table)
    last = trained.losses[-50:]
    text = _CARD.format(
        seed=recipe.seed,
        steps=recipe.steps,
        core_s=trained.core_s,
        loss=sum(last) / len(last),
        table=table,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    (folder / "README.md").chmod(0o644)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m zerokit.embedded.chat",
        description="Train the embedded chat model from scratch, or measure one.",
    )
    defaults = Recipe()
    parser.add_argument("--out", type=Path, default=Path("chat-model"), help="folder to write to (%(default)s)")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="seed of the training (%(default)s)")
    parser.add_argument("--threads", type=int, default=_THREADS, help="of torch; the shipped weights were made with 1")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="training steps (%(default)s)")
    parser.add_argument(
        "--evaluate", nargs="?", const=_SHIPPED, metavar="DIR", help="only measure: the shipped model, or DIR"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
