"""Images with the tiny model that ships in ZeroKit."""

from zerokit import ZeroDiffusion

demo = ZeroDiffusion(
    "embedded",
    title="ZeroKit images",
    description=(
        "A **tiny demonstration model**: it paints coloured shapes, and nothing else. "
        'For a real one write its name: `ZeroDiffusion("stabilityai/stable-diffusion-xl-base-1.0")`.'
    ),
    examples=[
        "a red circle on a white background",
        "a blue square on a yellow background",
        "a green star",
        "a purple heart",
    ],
)

if __name__ == "__main__":
    demo.launch()
