"""The same by hand: transformers, spaces and gradio, and the settings that a chat has."""

import os

import gradio as gr
import spaces
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = os.environ["BENCHMARK_MODEL"]
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=getattr(torch, os.environ["BENCHMARK_DTYPE"]))
model.to("cuda" if torch.cuda.is_available() else "cpu")


@spaces.GPU
def generate(messages, max_new_tokens, temperature, top_p, top_k, repetition_penalty):
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    ).to(model.device)
    sampling = {"temperature": temperature, "top_p": top_p, "top_k": top_k} if temperature else {}
    ids = model.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=temperature > 0,
        repetition_penalty=repetition_penalty,
        **sampling,
    )
    return tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def answer(message, history, system_prompt, max_new_tokens, temperature, top_p, top_k, repetition_penalty):
    said = [{"role": turn["role"], "content": turn["content"]} for turn in history or []]
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    messages = [*system, *said, {"role": "user", "content": message}]
    return generate(messages, int(max_new_tokens), temperature, top_p, int(top_k), repetition_penalty)


demo = gr.ChatInterface(
    answer,
    additional_inputs=[
        gr.Textbox("", label="System prompt"),
        gr.Slider(1, 4096, 512, step=1, label="Max new tokens"),
        gr.Slider(0, 2, 0.7, label="Temperature"),
        gr.Slider(0.01, 1, 0.95, label="Top-p"),
        gr.Slider(0, 200, 50, step=1, label="Top-k"),
        gr.Slider(1, 2, 1, label="Repetition penalty"),
    ],
    title="Chat",
    editable=True,
    save_history=True,
    api_name="chat",
)

if __name__ == "__main__":
    demo.launch()
