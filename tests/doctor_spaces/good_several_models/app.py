import functools
import tempfile
import threading
from pathlib import Path

import spaces
import gradio as gr
import soundfile as sf
import torch
from transformers import AutoModel, AutoProcessor

NAMES = {"small": "suno/bark-small", "large": "suno/bark"}
counted, lock = {"runs": 0}, threading.Lock()
_known = {}


@functools.lru_cache(maxsize=None)
def load(name):
    processor = AutoProcessor.from_pretrained(name)
    return processor, AutoModel.from_pretrained(name, dtype=torch.float16).to("cuda")


MODELS = {size: load(name) for size, name in NAMES.items()}


@spaces.GPU(duration=60)
def samples(text, size):
    processor, model = load(NAMES[size])
    inputs = processor(text, return_tensors="pt").to("cuda")
    sound = model.generate(**inputs)
    return sound.cpu().numpy().squeeze(), model.generation_config.sample_rate


def speak(text, size):
    with lock:
        counted["runs"] += 1
    if (text, size) not in _known:
        path = Path(tempfile.mkdtemp()) / "sound.wav"
        sf.write(path, *samples(text, size))
        _known[text, size] = str(path)
    return _known[text, size]


gr.Interface(
    speak,
    ["text", gr.Radio(list(NAMES))],
    gr.Audio(),
    examples=[["Hello", "small"]],
    cache_examples=True,
    cache_mode="lazy",
    concurrency_limit=4,
).launch()
