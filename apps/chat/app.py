"""A chat: one model, its settings, Stop and Continue, and what is left of the visitor's day."""

import os

from zerokit import ZeroChat

# ZEROKIT_MODEL=embedded runs this with the small model that comes with ZeroKit, with nothing to download.
MODEL = os.environ.get("ZEROKIT_MODEL", "Qwen/Qwen3-4B-Instruct-2507")

demo = ZeroChat(
    MODEL,
    title="Chat",
    description="Ask anything. The bar below says what a question costs of your GPU time, before you send it.",
    examples=["What is ZeroGPU?", "Explain a rainbow to a child", "Three names for a ginger cat"],
    system_prompt="You are a helpful assistant. Answer briefly.",
)

if __name__ == "__main__":
    demo.launch()
