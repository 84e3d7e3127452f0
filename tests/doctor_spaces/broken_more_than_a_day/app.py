import spaces
import gradio as gr
import torch
from diffusers import FluxPipeline

MINUTES = 3
SECONDS = MINUTES * 60

pipe = FluxPipeline.from_pretrained("black-forest-labs/FLUX.1-dev", torch_dtype=torch.bfloat16).to("cuda")


@spaces.GPU(duration=SECONDS, size="xlarge")
def paint(prompt: str, progress=gr.Progress(track_tqdm=True)):
    return pipe(prompt).images[0]


with gr.Blocks() as demo:
    prompt, picture = gr.Textbox(), gr.Image()
    gr.on([prompt.submit, gr.Button("Paint").click], paint, prompt, picture)

demo.queue(default_concurrency_limit=None).launch()
