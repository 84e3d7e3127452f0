"""A chat model and an image model with adapters, and what a request with some of them gives: for `leaking.py` under
the local ZeroGPU, and run by itself, for each request in a process of its own.

    python leaking_work.py < requests.json
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from typing import Any

import torch

torch.set_num_threads(1)

from zerokit.adapters import AdapterSpec  # noqa: E402
from zerokit.control import Control  # noqa: E402
from zerokit.engines import image_adapters, text_adapters  # noqa: E402
from zerokit.engines.image import ImageEngine  # noqa: E402
from zerokit.engines.text import TextEngine  # noqa: E402
from zerokit.requests import AdapterChoice, ChatRequest, ImageRequest, Message  # noqa: E402

# Two are packed with each base; of the others there is room for one at a time, so that they push each other out.
text_adapters.RESIDENT = image_adapters.RESIDENT = 2
text_adapters.ROOM = image_adapters.ROOM = 1
FILES: dict[str, dict[str, str]] = json.loads(os.environ["LEAKING_FILES"])
OWN, VISITORS = ("a", "b", "c", "d"), "mine"

text_engine = TextEngine(
    os.environ["LEAKING_CHAT"], adapters=[AdapterSpec(FILES["text"][name], name=name) for name in OWN]
)
image_engine = ImageEngine(
    os.environ["LEAKING_IMAGE"], adapters=[AdapterSpec(FILES["image"][name], name=name) for name in OWN]
)
ENGINES: dict[str, Any] = {"text": text_engine, "image": image_engine}


def prepare(asked: dict[str, Any]) -> Any:
    """What the GPU call gets. A visitor's own adapter comes with those requests that name it."""
    engine = ENGINES[asked["kind"]]
    named = {name for row in asked["rows"] for name, _ in row["adapters"]}
    extra = (
        [engine.find_adapter(AdapterSpec(FILES[asked["kind"]][VISITORS], name=VISITORS))] if VISITORS in named else []
    )
    make = _text if asked["kind"] == "text" else _image
    return engine.prepare_batch([make(row) for row in asked["rows"]], extra=extra)


def answer(kind: str, batch: Any, control: Control) -> list[str]:
    """The text of each row, or the digest of its picture."""
    replies = ENGINES[kind].generate_batch(batch, control)
    if kind == "text":
        return [reply.text for reply in replies]
    return [hashlib.sha256(reply.pictures[0].image.tobytes()).hexdigest()[:16] for reply in replies]


def bases() -> str:
    """A digest of all weights that are no adapter's."""
    digest = hashlib.sha256()
    for model in (text_engine.model, *image_engine.pipe.components.values()):
        if isinstance(model, torch.nn.Module):
            tensors = {name.replace(".base_layer", ""): tensor for name, tensor in model.state_dict().items()}
            for name in sorted(name for name in tensors if "lora_" not in name):
                digest.update(name.encode())
                digest.update(tensors[name].detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _choices(row: dict[str, Any]) -> list[AdapterChoice]:
    return [AdapterChoice(name, weight) for name, weight in row["adapters"]]


def _text(row: dict[str, Any]) -> ChatRequest:
    return ChatRequest(
        (Message("user", row["prompt"]),),
        max_new_tokens=10,
        temperature=row["temperature"],
        seed=row["seed"],
        adapters=_choices(row),
    )


def _image(row: dict[str, Any]) -> ImageRequest:
    return ImageRequest(row["prompt"], width=32, height=32, steps=2, seed=row["seed"], adapters=_choices(row))


def main() -> None:
    """Answer each request of stdin in a process forked for it alone, and print all answers."""
    answers = [_alone(asked) for asked in json.load(sys.stdin)]
    print(json.dumps({"answers": answers, "bases": bases()}))


def _alone(asked: dict[str, Any]) -> list[str]:
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reads)
            made: list[Any] = []
            # As in a worker, where a thread computes.
            thread = threading.Thread(target=lambda: made.extend(answer(asked["kind"], prepare(asked), Control())))
            thread.start()
            thread.join()
            with os.fdopen(writes, "w") as pipe:
                json.dump(made, pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(writes)
    with os.fdopen(reads) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
