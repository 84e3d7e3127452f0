"""Images: from a prompt, from a picture, or in a part of one."""

import os

from zerokit import ZeroDiffusion

# ZEROKIT_MODEL=embedded runs this with the small model that comes with ZeroKit, with nothing to download.
MODEL = os.environ.get("ZEROKIT_MODEL", "stabilityai/stable-diffusion-xl-base-1.0")

demo = ZeroDiffusion(
    MODEL,
    title="Images",
    description="Say what you want to see. The price of a picture is below the button, before you press it.",
    examples=["a red circle on a white background", "a lighthouse in a storm, oil on canvas", "a fox in the snow"],
    steps=25,  # for this model
)

if __name__ == "__main__":
    demo.launch()
