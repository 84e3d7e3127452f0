"""Adapters for the tiny image model that ships in ZeroKit: two styles."""

from zerokit import ZeroLoRA
from zerokit.adapters import AdapterSpec

demo = ZeroLoRA(
    "embedded",
    [
        AdapterSpec("embedded:image-outline", name="outline", examples=("a red circle on a white background",)),
        AdapterSpec("embedded:image-pastel", name="pastel", examples=("a blue square on a yellow background",)),
    ],
    title="ZeroKit styles",
    description=(
        "A **tiny demonstration model** with two styles: pick one, or compare them. "
        'For a real one write its name: `ZeroLoRA("stabilityai/stable-diffusion-xl-base-1.0", ["someone/a-style"])`.'
    ),
    examples=["a red circle on a white background", "a green star", "a purple heart"],
)

if __name__ == "__main__":
    demo.launch()
