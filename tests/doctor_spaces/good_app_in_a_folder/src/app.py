"""The app lies in a folder, its engine is a class, and the GPU function is a method."""

from engine import Engine

import gradio as gr

engine = Engine("openai/whisper-small")
engine.load()


def run(path, language):
    if path is None:
        raise gr.Error("Record something first.")
    return engine.transcribe(path, language)


demo = gr.Interface(run, [gr.Audio(type="filepath"), gr.Dropdown(["en", "fr"])], "text", concurrency_limit=None)

if __name__ == "__main__":
    demo.launch()
