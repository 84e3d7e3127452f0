import spaces
import gradio as gr

from painting import prepare

pipe = prepare("stabilityai/sdxl-turbo")


@spaces.GPU(duration=10)
def paint(prompt):
    return pipe(prompt, num_inference_steps=2).images[0]


gr.Interface(paint, "text", "image", concurrency_limit=None).launch()
