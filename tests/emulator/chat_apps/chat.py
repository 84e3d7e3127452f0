"""A chat Space, with an endpoint that tells which threads of calls run in it."""

import os
import threading

import gradio as gr

from zerokit import ZeroChat

demo = ZeroChat(
    os.environ["CHAT_MODEL"],
    title="Chat",
    examples=["What is ZeroGPU?", "Who are you?"],
    max_new_tokens=int(os.environ.get("CHAT_TOKENS", "12")),
    temperature=0,
)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("zerokit-pump", "zerokit-call"))]


def alone(message: str) -> str:
    """Ask as code of the Space's own, outside any visitor's event: the app itself is billed."""
    said: list[str] = []

    def ask() -> None:
        try:
            said.append(demo.ask(message).text)
        except gr.Error as exc:
            said.append(f"{exc.title}: {exc.message}")

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return said[0]


with demo:
    gr.api(alone, api_name="alone", api_visibility="undocumented", concurrency_limit=None)
    gr.api(threads, api_name="threads", api_visibility="undocumented", queue=False)

demo.launch(mcp_server=os.environ.get("CHAT_MCP") == "1")
