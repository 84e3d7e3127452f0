"""A chat with LoRA adapters, which a visitor picks, mixes and compares."""

import os

from zerokit import ZeroLoRA
from zerokit.adapters import AdapterSpec

MODEL = os.environ.get("ZEROKIT_MODEL", "Qwen/Qwen3-0.6B")
ADAPTERS = [
    AdapterSpec("charent/self_cognition_Alice", name="Alice", examples=("Who are you?",)),
    AdapterSpec("charent/self_cognition_Bob", name="Bob", examples=("Who are you?",)),
]

# ZEROKIT_MODEL=embedded runs this with the small model that comes with ZeroKit, with nothing to download.
if MODEL == "embedded":
    ADAPTERS = [AdapterSpec("embedded:chat-pirate"), AdapterSpec("embedded:chat-terse")]

demo = ZeroLoRA(
    MODEL,
    ADAPTERS,
    title="Chat with adapters",
    description="Pick an adapter, ask, and compare it with the model alone.",
    examples=["Who are you?", "What is ZeroGPU?", "What do you like best?"],
    allow_custom=True,  # visitors may bring their own, checked before a GPU is asked for
)

if __name__ == "__main__":
    demo.launch()
