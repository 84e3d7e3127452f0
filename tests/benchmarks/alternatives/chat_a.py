"""(a) the documented pattern: the model at module level, and `spaces.GPU` with its default of 60 s."""

import os

import gradio as gr
import spaces
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

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
    ids = model.generate(**inputs, max_new_tokens=int(max_new_tokens))
    return tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


length = gr.Slider(1, 2048, 64, step=1, label="Max new tokens")
demo = gr.ChatInterface(reply, additional_inputs=[length], api_name="chat")

if __name__ == "__main__":
    demo.launch()
