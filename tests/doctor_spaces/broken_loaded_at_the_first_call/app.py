import spaces
import gradio as gr

import speech


@spaces.GPU(duration=30)
def transcribe(path):
    return speech.model()(path)["text"]


demo = gr.Interface(transcribe, gr.Audio(type="filepath"), "text", concurrency_limit=None)
demo.launch()
