import spaces
import gradio as gr
import torch
from diffusers import FluxPipeline

pipe = FluxPipeline.from_pretrained("black-forest-labs/FLUX.1-schnell", torch_dtype=torch.bfloat16).to("cuda")


@spaces.GPU(duration=1500)
def compile_transformer():
    with spaces.aoti_capture(pipe.transformer) as call:
        pipe("a harbour")
    exported = torch.export.export(pipe.transformer, args=call.args, kwargs=call.kwargs)
    return spaces.aoti_compile(exported)


spaces.aoti_apply(compile_transformer(), pipe.transformer)


def seconds(*args, **kwargs):
    return 2 + kwargs.get("steps", 4)


@spaces.GPU(duration=seconds, size="xlarge")
def paint(prompt, steps=4, seed=0, progress=gr.Progress(track_tqdm=True)):
    return pipe(prompt, num_inference_steps=steps, generator=torch.Generator().manual_seed(seed)).images[0]


gr.Interface(paint, ["text", "number", "number"], "image", concurrency_limit=None).launch(mcp_server=True)
