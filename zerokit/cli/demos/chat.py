"""A chat with the tiny model that ships in ZeroKit."""

from zerokit import ZeroChat

demo = ZeroChat(
    "embedded",
    title="ZeroKit chat",
    description=(
        "A **tiny demonstration model**: it knows a little about ZeroGPU and makes the rest up. "
        'For a real one write its name: `ZeroChat("Qwen/Qwen3-4B-Instruct-2507")`.'
    ),
    examples=["What is ZeroGPU?", "What does ZeroKit do?", "Tell me a story about a GPU"],
)

if __name__ == "__main__":
    demo.launch()
