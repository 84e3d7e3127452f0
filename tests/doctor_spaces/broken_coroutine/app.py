import gradio as gr
from spaces import GPU as on_gpu
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

NAME = "HuggingFaceTB/SmolLM2-1.7B-Instruct"
tokenizer = AutoTokenizer.from_pretrained(NAME)
model = AutoModelForCausalLM.from_pretrained(NAME, dtype=torch.bfloat16).to("cuda")


@on_gpu(duration=30)
async def reply(message, history):
    ids = tokenizer(message, return_tensors="pt").to("cuda")
    made = model.generate(**ids, max_new_tokens=200)
    return tokenizer.decode(made[0], skip_special_tokens=True)


gr.ChatInterface(reply, concurrency_limit=None).launch()
