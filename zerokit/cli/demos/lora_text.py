"""Adapters for the tiny chat model that ships in ZeroKit: two manners of speaking."""

from zerokit import ZeroLoRA
from zerokit.adapters import AdapterSpec

demo = ZeroLoRA(
    "embedded",
    [
        AdapterSpec("embedded:chat-pirate", name="pirate", examples=("What is ZeroGPU?", "Who are you?")),
        AdapterSpec("embedded:chat-terse", name="terse", examples=("What is a run?",)),
    ],
    title="ZeroKit adapters",
    description=(
        "A **tiny demonstration model** with two manners of speaking: pick one, or compare them. "
        'For a real one write its name: `ZeroLoRA("Qwen/Qwen3-4B-Instruct-2507", ["someone/an-adapter"])`.'
    ),
    examples=["What is ZeroGPU?", "What does ZeroKit do?", "What is a cold start?"],
)

if __name__ == "__main__":
    demo.launch()
