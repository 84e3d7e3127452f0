"""(c) tokens streamed from the worker by a `TextIteratorStreamer`, with the default of 60 s."""

import os
from threading import Thread

import gradio as gr
import spaces
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer

NAME = os.environ["BENCHMARK_MODEL"]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
tokenizer = AutoTokenizer.from_pretrained(NAME)
model = AutoModelForCausalLM.from_pretrained(NAME, dtype=torch.float32).to(DEVICE)


@spaces.GPU
def reply(message, history, max_new_tokens):
    messages = [{"role": turn["role"], "content": turn["content"][0]["text"]} for turn in history]
    messages.append({"role": "user", "content": message})
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    ).to(DEVICE)
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    settings = {"streamer": streamer, "max_new_tokens": int(max_new_tokens)}
    Thread(target=model.generate, kwargs={**inputs, **settings}).start()
    text = ""
    for piece in streamer:
        text += piece
        yield text


length = gr.Slider(1, 2048, 64, step=1, label="Max new tokens")
demo = gr.ChatInterface(reply, additional_inputs=[length], api_name="chat")

if __name__ == "__main__":
    demo.launch()
