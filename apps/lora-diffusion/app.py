"""Images with LoRA adapters: styles that a visitor picks, mixes and compares."""

import os

from zerokit import ZeroLoRA
from zerokit.adapters import AdapterSpec

MODEL = os.environ.get("ZEROKIT_MODEL", "stabilityai/stable-diffusion-xl-base-1.0")
ADAPTERS = [
    AdapterSpec("ostris/watercolor_style_lora_sdxl", name="watercolour", weight_name="watercolor_v1_sdxl.safetensors"),
    AdapterSpec("ostris/crayon_style_lora_sdxl", name="crayons", weight_name="crayons_v1_sdxl.safetensors"),
    AdapterSpec("nerijs/pixel-art-xl", name="pixel art", trigger="pixel art"),
]

# ZEROKIT_MODEL=embedded runs this with the small model that comes with ZeroKit, with nothing to download.
if MODEL == "embedded":
    ADAPTERS = [AdapterSpec("embedded:image-outline"), AdapterSpec("embedded:image-pastel")]

demo = ZeroLoRA(
    MODEL,
    ADAPTERS,
    title="Styles",
    description="Pick a style, say what you want to see, and compare it with the model alone.",
    examples=["a red circle on a white background", "a lighthouse in a storm", "a fox in the snow"],
    allow_custom=True,  # visitors may bring their own, checked before a GPU is asked for
    steps=25,  # for this model
)

if __name__ == "__main__":
    demo.launch()
