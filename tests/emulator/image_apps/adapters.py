"""An image engine with adapters under GPU functions: one adapter is packed with the base, the others come later."""

import hashlib
import json
import os

import gradio as gr

from zerokit.adapters import AdapterSpec
from zerokit.blocks.image_model import ImageModel
from zerokit.calls.duration import Fixed
from zerokit.engines import image_adapters
from zerokit.engines.image import ImageEngine
from zerokit.requests import AdapterChoice, ImageReply

image_adapters.RESIDENT = 1
FILES = json.loads(os.environ["IMAGE_ADAPTERS"])
engine = ImageEngine(
    os.environ["IMAGE_MODEL"], adapters=[AdapterSpec(FILES[name], name=name) for name in ("first", "second")]
)
model = ImageModel(engine, size=None, start={"steps": 2})
for function in (model.paint, model.compare):  # nothing here is about what was learned, and a strict device is slow
    function.estimator = Fixed(60)


def pixels(reply: ImageReply) -> str:
    """What tells one picture from any other; "" where there is none."""
    return "".join(hashlib.sha256(picture.image.tobytes()).hexdigest() for picture in reply.pictures)


def paint(rows: list) -> list[str]:
    """One row for each picture: weights by the adapters' names; several rows are compared in one call."""
    extra = [engine.find_adapter(AdapterSpec(FILES["mine"], name="mine"))]
    requests = [
        model.request(
            "a red circle",
            {"seed": 5, "adapters": [AdapterChoice(name, weight) for name, weight in row.items()]},
        )
        for row in rows
    ]
    if len(requests) == 1:
        return [pixels(model.paint(model.work(requests[0], extra)))]
    return [pixels(reply) for reply in model.compare(model.batch_work(requests, extra))]


with gr.Blocks() as demo:
    gr.api(paint, api_name="paint")

if __name__ == "__main__":
    demo.queue(max_size=100).launch()  # of two clicks at once, the second waits
