"""The recipe of the embedded adapters: `python -m zerokit.embedded.adapters`.

It trains them on the embedded models, measures them, and writes each with its card:

    python -m zerokit.embedded.adapters --out adapters --seed 0
    python -m zerokit.embedded.adapters --only chat-pirate
    python -m zerokit.embedded.adapters --only image-outline
    python -m zerokit.embedded.adapters --evaluate              # those that ship
    python -m zerokit.embedded.adapters --evaluate adapters     # others
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers.utils import logging

from zerokit.embedded import image_styles, path
from zerokit.embedded.adapter_evaluate import evaluate
from zerokit.embedded.adapter_train import AdapterRecipe, TrainedAdapter, train
from zerokit.embedded.figures import Figure, as_table
from zerokit.embedded.image_styles import STYLES, Style, StyleRecipe, TrainedStyle
from zerokit.embedded.manners import MANNERS, Manner

_SHIPPED = "shipped"
BASE = "embedded"
"""What the files call the base: the name that ZeroKit knows it by, and no path of the machine that trained them."""

NAMES = (*MANNERS, *STYLES)

_CHAT_CARD = """\
---
license: apache-2.0
language: en
library_name: peft
base_model: {base}
pipeline_tag: text-generation
tags: [zerokit, demonstration, lora]
---
# {name}: an adapter for the embedded chat model of ZeroKit

{summary}

It is a LoRA adapter of rank {rank} for all linear layers, trained on the questions and answers of the model itself,
said in another manner.

```
python -m zerokit.embedded.adapters --only {name} --seed {seed}
```

makes it again: {core_s:.0f} seconds of one CPU core, final loss {loss:.4f}.
`python -m zerokit.embedded.adapters --evaluate` measured, with greedy answers:

{table}

Right in content means: the known answer is there, word for word but for the manner. Licence: Apache 2.0.
"""

_IMAGE_CARD = """\
---
license: apache-2.0
language: en
library_name: diffusers
base_model: {base}
pipeline_tag: text-to-image
instance_prompt: {trigger}
tags: [zerokit, demonstration, lora]
---
# {name}: an adapter for the embedded image model of ZeroKit

{summary}

It is a LoRA adapter of rank {rank} for the attention and the convolutions of the UNet, trained on the prompts of the
model itself, drawn in another style. It acts with the word "{trigger}" in the prompt and without it.

```
python -m zerokit.embedded.adapters --only {name} --seed {seed}
```

makes it again: {core_s:.0f} seconds of one CPU core, final loss {loss:.4f}.
`python -m zerokit.embedded.adapters --evaluate` measured, on every shape in every colour:

{table}

Licence: Apache 2.0.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train or evaluate, as the command line says."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.set_verbosity_error()
    for name in [options.only] if options.only else NAMES:
        print(name)
        if options.evaluate:
            folder = path(name) if options.evaluate == _SHIPPED else Path(options.evaluate) / name
            print(as_table(measure(name, folder)))
        elif name in MANNERS:
            _make_manner(MANNERS[name], options.out / name, options.seed)
        else:
            _make_style(STYLES[name], options.out / name, options.seed)
    return 0


def measure(name: str, folder: Path) -> list[Figure]:
    """The figures of the adapter in a folder."""
    return evaluate(MANNERS[name], folder) if name in MANNERS else image_styles.evaluate(STYLES[name], folder)


def _make_manner(manner: Manner, folder: Path, seed: int) -> None:
    trained = train(manner, path("chat"), AdapterRecipe(seed=seed))
    save(trained, folder)
    _write_card(_CHAT_CARD, manner, folder, seed, trained, rank=trained.model.peft_config["default"].r)


def _make_style(style: Style, folder: Path, seed: int) -> None:
    trained = image_styles.train(style, path("image"), StyleRecipe(seed=seed))
    image_styles.save(trained, folder)
    _write_card(_IMAGE_CARD, style, folder, seed, trained, rank=image_styles.RANK, trigger=style.trigger)


def save(trained: TrainedAdapter, folder: Path) -> None:
    """Write an adapter in float16, readable for everyone, without a path of this machine."""
    trained.model.to(dtype=torch.float16).save_pretrained(folder)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) | {"base_model_name_or_path": BASE}
    config["target_modules"] = sorted(config["target_modules"])
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for file in folder.iterdir():
        file.chmod(0o644)


def _write_card(
    card: str, kind: Manner | Style, folder: Path, seed: int, trained: TrainedAdapter | TrainedStyle, **more: Any
) -> None:
    """Measure the saved adapter and write its card with the figures."""
    print(f"Trained in {trained.core_s:.0f} core-seconds")
    table = as_table(measure(kind.name, folder))
    print(table)
    last = trained.losses[-50:]
    text = card.format(
        base=BASE,
        name=kind.name,
        summary=kind.summary,
        seed=seed,
        core_s=trained.core_s,
        loss=sum(last) / len(last),
        table=table,
        **more,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    (folder / "README.md").chmod(0o644)
    print(f"Saved to {folder}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m zerokit.embedded.adapters",
        description="Train the adapters of the embedded models, or measure them.",
    )
    parser.add_argument("--out", type=Path, default=Path("adapters"), help="folder to write to (%(default)s)")
    parser.add_argument("--only", choices=NAMES, help="one of them instead of all")
    parser.add_argument("--seed", type=int, default=AdapterRecipe().seed, help="seed of the training (%(default)s)")
    parser.add_argument(
        "--evaluate", nargs="?", const=_SHIPPED, metavar="DIR", help="only measure: those that ship, or those in DIR"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
