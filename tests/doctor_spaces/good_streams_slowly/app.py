import time
from threading import Thread

import spaces
import gradio as gr
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer

NAME = "Qwen/Qwen3-4B-Instruct-2507"
tokenizer = AutoTokenizer.from_pretrained(NAME)
model = AutoModelForCausalLM.from_pretrained(NAME, dtype="auto", device_map="cuda")


@spaces.GPU(duration=lambda messages, limit: 3 + limit * 0.03)
def _stream(messages, limit):
    ids = tokenizer.apply_chat_template(messages, return_tensors="pt", add_generation_prompt=True).to(model.device)
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    Thread(target=model.generate, kwargs={"input_ids": ids, "streamer": streamer, "max_new_tokens": limit}).start()
    parts, shown = [], 0.0
    for part in streamer:
        parts.append(part)
        if time.monotonic() - shown > 0.25:
            shown = time.monotonic()
            yield "".join(parts)
    yield "".join(parts)


def chat(message, history):
    messages = [*history, {"role": "user", "content": message}]
    for text in _stream(messages, 512):
        yield text + " ..."
    yield text


def note(message):
    print(len(message))


with gr.Blocks() as demo:
    box = gr.ChatInterface(chat, concurrency_limit=8).textbox
    box.submit(note, box).then(lambda: None)
demo.launch()
