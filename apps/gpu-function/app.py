"""A function of your own on the GPU: how much each word of a text surprises a language model."""

import os

import gradio as gr
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from zerokit import Linear, ZeroQuota, embedded, gpu, progress

# ZEROKIT_MODEL=embedded runs this with the small model that comes with ZeroKit, with nothing to download.
MODEL = os.environ.get("ZEROKIT_MODEL", "Qwen/Qwen3-1.7B-Base")
if MODEL == "embedded":
    MODEL = str(embedded.path("chat"))

# Loaded once, in half precision, and placed on "cuda" here: never inside the function.
device = "cuda" if torch.cuda.is_available() else "cpu"
dtype = torch.float16 if device == "cuda" else torch.float32
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=dtype, use_safetensors=True).to(device)


@gpu(duration=Linear(base_s=1, per={"count": 0.05}))
def surprises(lines: list[list[int]], count: int) -> list[list[float]]:
    """For each line of tokens, how unlikely the model found each of them but the first: 0 expected, 1 a surprise."""
    found: list[list[float]] = []
    for line in lines:
        with torch.inference_mode():
            logits = model(torch.tensor([line], device=device)).logits[0, :-1].float()
        likely = logits.softmax(-1).gather(1, torch.tensor(line[1:], device=device)[:, None])
        found.append((1 - likely[:, 0]).tolist())
        progress(len(found), count, "Reading", made=found)
    return found


def read(text: str) -> list[tuple[str, float]]:
    """What can be refused or prepared without a GPU is done here, where it costs nothing."""
    lines = [tokenizer(line, truncation=True, max_length=256).input_ids for line in text.splitlines()[:50]]
    lines = [line for line in lines if len(line) > 1]
    if not lines:
        raise gr.Error("Write a line of two words or more.", title="Nothing to read")
    return [
        (tokenizer.decode(token), surprise)
        for line, shown in zip(lines, surprises(lines, len(lines)), strict=False)
        for token, surprise in zip(line, [0.0, *shown], strict=False)
    ]


with gr.Blocks(title="Surprise") as demo:
    gr.Markdown("# Surprise\nHow unexpected a language model finds each word: the deeper the red, the more.")
    text = gr.Textbox("What is ZeroGPU?\nZeroGPU is a hamster.", label="Text", lines=4, max_length=4000)
    button = gr.Button("Read", variant="primary")
    quota = ZeroQuota()
    words = gr.HighlightedText(label="Surprise", show_legend=False)
    event = button.click(read, text, words, api_name="read", concurrency_limit=None)
    quota.follow(event, price=lambda text: surprises.quote([], len(text.splitlines()[:50])).reserved_s, inputs=text)

if __name__ == "__main__":
    demo.queue(max_size=100).launch()
