import spaces
import torch
from transformers import pipeline


class Engine:
    def __init__(self, name):
        self.name = name
        self.pipe = None

    def load(self):
        if self.pipe is None:
            self.pipe = pipeline("automatic-speech-recognition", self.name, dtype=torch.float16, device="cuda")
        return self.pipe

    @spaces.GPU(duration=40)
    def transcribe(self, path, language):
        return self.load()(path, generate_kwargs={"language": language})["text"]
