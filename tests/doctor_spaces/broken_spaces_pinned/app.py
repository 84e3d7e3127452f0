import spaces
import gradio as gr
from transformers import pipeline

judge = pipeline("sentiment-analysis", device="cuda")


@spaces.GPU(duration=3)
def feel(text):
    return judge(text)[0]["label"]


gr.Interface(feel, "text", "label", concurrency_limit=None).launch()
