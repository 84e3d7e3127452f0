import spaces
import gradio as gr
import numpy as np
import torch
from transformers import VitsModel, AutoTokenizer

from sound import write

tokenizer = AutoTokenizer.from_pretrained("facebook/mms-tts-eng")
model = VitsModel.from_pretrained("facebook/mms-tts-eng").to("cuda")


@spaces.GPU(duration=10)
def waves(text: str) -> np.ndarray:
    inputs = tokenizer(text, return_tensors="pt").to("cuda")
    with torch.no_grad():
        return model(**inputs).waveform[0].cpu().numpy()


def speak(text: str) -> str:
    return write(waves(text), model.config.sampling_rate)


gr.Interface(speak, "text", gr.Audio(), concurrency_limit=4).launch()
