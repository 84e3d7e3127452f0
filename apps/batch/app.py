"""A file of prompts in, a table of answers out: all in one reservation, which is one run of the visitor's quota."""

import csv
import os
import tempfile
from pathlib import Path

import gradio as gr

from zerokit import ZeroChat, ZeroKitError, ZeroQuota

# ZEROKIT_MODEL=embedded runs this with the small model that comes with ZeroKit, with nothing to download.
MODEL = os.environ.get("ZEROKIT_MODEL", "Qwen/Qwen3-4B-Instruct-2507")
MOST = 64
HEAD = ["prompt", "answer", "ended"]

chat = ZeroChat(MODEL, max_new_tokens=200, temperature=0)


def prompts_in(file: str | None) -> list[str]:
    """One prompt a line; refused here, a file costs nothing."""
    if file is None:
        raise gr.Error("Choose a text file with one prompt on each line.", title="No file")
    try:
        lines = Path(file).read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise gr.Error("The file must be plain text in UTF-8.", title="Not a text file") from error
    prompts = [line.strip() for line in lines if line.strip()]
    if not 1 <= len(prompts) <= MOST:
        raise gr.Error(f"The file has {len(prompts)} prompts; it may have 1 to {MOST}.", title="Not that many")
    return prompts


def answer(file: str | None) -> tuple[list[list[str]], str]:
    prompts = prompts_in(file)
    try:
        replies = chat.batch(prompts)
    except ZeroKitError as error:
        raise gr.Error(error.message, title=error.title) from error
    rows = [[prompt, reply.text, reply.ended] for prompt, reply in zip(prompts, replies, strict=False)]
    table = Path(tempfile.mkdtemp()) / "answers.csv"
    with table.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([HEAD, *rows])
    return rows, str(table)


with gr.Blocks(title="Batch", delete_cache=(86_400, 86_400)) as demo:
    gr.Markdown("# Batch\nA text file with one prompt on each line. All of them are answered in one run.")
    file = gr.File(label="Prompts", file_types=[".txt"], type="filepath")
    button = gr.Button("Answer all", variant="primary")
    quota = ZeroQuota()
    rows = gr.Dataframe(headers=HEAD, label="Answers", wrap=True, column_widths=["30%", "50%", "20%"])
    table = gr.DownloadButton("Download the table", interactive=False)
    event = button.click(answer, file, [rows, table], api_name="answer", concurrency_limit=None)
    event.success(lambda: gr.update(interactive=True), None, table, api_visibility="private")
    quota.follow(event, price=lambda file: file and chat.batch_quote(prompts_in(file)).reserved_s, inputs=file)

if __name__ == "__main__":
    demo.queue(max_size=100).launch(max_file_size="1mb")
