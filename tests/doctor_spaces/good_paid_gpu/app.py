import os

import gradio as gr
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

NAME = "HuggingFaceTB/SmolLM2-1.7B-Instruct"
tokenizer = AutoTokenizer.from_pretrained(NAME, token=os.environ.get("HF_TOKEN"))
model = torch.compile(AutoModelForCausalLM.from_pretrained(NAME, dtype="auto", device_map="auto"))
said = []


async def reply(message, history):
    said.append(message)
    ids = tokenizer(message, return_tensors="pt").to(model.device)
    return tokenizer.decode(model.generate(**ids, max_new_tokens=100)[0])


gr.ChatInterface(reply).launch()
