"""The stand-in chat, asked for many answers at once, on a card that has room for so many of them side by side."""

import gradio as gr
import torch
from parts.pace import ROWS
from stand_in_chat import demo as chat
from stand_in_chat import model


def room(module, args, kwargs):
    if kwargs["input_ids"].shape[0] > ROWS:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


model.register_forward_pre_hook(room, with_kwargs=True, prepend=True)


def answer(prompts: list, tokens: int, cap_s: float) -> list:
    """The places of the questions that each reservation answered, and the title of the error that ended it all."""
    brought: list = []
    settings = {"system_prompt": str(int(tokens)), "max_new_tokens": int(tokens), "temperature": 0}
    try:
        for replies in chat.batches(prompts, cap_s=cap_s, **settings):
            brought.append([place for place, reply in replies.items() if reply.new_tokens == int(tokens)])
    except gr.Error as error:
        return [brought, error.title]
    return [brought, None]


with gr.Blocks() as demo:
    gr.api(answer, api_name="answer", concurrency_limit=None)

if __name__ == "__main__":
    demo.launch()
