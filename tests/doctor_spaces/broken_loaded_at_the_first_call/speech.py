import torch
from transformers import pipeline

_model = None


def model():
    global _model
    if _model is None:
        _model = pipeline("automatic-speech-recognition", "openai/whisper-large-v3", dtype=torch.float16, device="cuda")
    return _model
