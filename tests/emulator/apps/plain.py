"""A Space as anybody writes it: plain `spaces.GPU`, a model at module level."""

import time

import gradio as gr
import spaces
import torch

model = torch.nn.Linear(4, 2, dtype=torch.float32).to("cuda")


@spaces.GPU(duration=10)
def predict(x: float) -> dict:
    y = model(torch.full((1, 4), x, device="cuda"))
    return {"y": y.detach().cpu().tolist(), "name": torch.cuda.get_device_name(), "device": str(y.device)}


@spaces.GPU(duration=20)
def stream(n: float):
    for i in range(int(n)):
        time.sleep(0.05)
        yield i


@spaces.GPU(duration=lambda seconds, declared: int(declared))
def hold(seconds: float, declared: float) -> float:
    time.sleep(seconds)
    return seconds


def whoami(request: gr.Request) -> str:
    return request.headers.get("x-ip-token", "")


with gr.Blocks() as demo:
    gr.Button().click(predict, gr.Number(1), gr.JSON(), api_name="predict")
    gr.Button().click(stream, gr.Number(5), gr.Number(), api_name="stream")
    gr.Button().click(hold, [gr.Number(0.1), gr.Number(10)], gr.Number(), api_name="hold")
    gr.Button().click(whoami, None, gr.Textbox(), api_name="whoami")

demo.launch()
