import spaces
import gradio as gr
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("facebook/nllb-200-distilled-600M")
model = AutoModelForSeq2SeqLM.from_pretrained("facebook/nllb-200-distilled-600M", dtype=torch.float16).to("cuda")


def _translate(line):
    inputs = tokenizer(line, return_tensors="pt").to("cuda")
    return tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True)


translate = spaces.GPU(duration=10)(_translate)


def all_lines(text):
    done = []
    for line in text.splitlines():
        if line.strip():
            done.append(translate(line))
    return "\n".join(done)


with gr.Blocks() as demo:
    text, translated = gr.Textbox(lines=5), gr.Textbox(lines=5)
    gr.Button("Translate").click(fn=all_lines, inputs=text, outputs=translated, concurrency_limit=None)
demo.launch()
