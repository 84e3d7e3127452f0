"""Many questions in few calls: what each of them brought, and what ended it all."""

import os
import threading

import gradio as gr

from zerokit import ZeroChat

chat = ZeroChat(os.environ["CHAT_MODEL"], temperature=0)


def answer(prompts: list, max_new_tokens: int, cap_s: float | None = None) -> list:
    """The answers of each reservation by their places, and the title of the error at its end."""
    brought: list = []
    try:
        for replies in chat.batches(prompts, max_new_tokens=int(max_new_tokens), cap_s=cap_s):
            brought.append({str(place): [reply.text, reply.ended] for place, reply in replies.items()})
    except gr.Error as error:
        return [brought, error.title]
    return [brought, None]


def threads() -> list:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("zerokit-pump", "zerokit-call"))]


with gr.Blocks() as demo:
    chat.render()
    gr.api(answer, api_name="answer", concurrency_limit=None)
    gr.api(threads, api_name="threads", queue=False)

if __name__ == "__main__":
    demo.launch()
