"""A Space written without ZeroKit: plain `spaces.GPU`, a model at module level, `gr.ChatInterface`."""

import time

import gradio as gr
import spaces
import torch

TEXT = "the gpu is lent for a minute and the visitor waits for the answer of the model in the queue. "
letters = sorted(set(TEXT))


class Bigram(torch.nn.Module):
    """The next letter, from the letter before."""

    def __init__(self) -> None:
        super().__init__()
        table = torch.zeros(len(letters), len(letters))
        for one, other in zip(TEXT, TEXT[1:] + TEXT[:1], strict=True):
            table[letters.index(one), letters.index(other)] += 1
        self.table = torch.nn.Parameter(table, requires_grad=False)

    def forward(self, letter: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return torch.multinomial(self.table[letter], 1, generator=generator)[0]


model = Bigram().to("cuda")


@spaces.GPU(duration=120)
def answer(message: str, history: list):
    generator = torch.Generator(device="cuda").manual_seed(len(message))
    letter = torch.tensor(letters.index("t"), device="cuda")
    text = ""
    for _ in range(40):
        text += letters[letter.item()]
        yield text
        letter = model(letter, generator)


@spaces.GPU(duration=1)
def never_done() -> str:
    time.sleep(60)
    return "done"


with gr.Blocks() as demo:
    gr.ChatInterface(answer, api_name="chat")
    gr.Button("Too long").click(never_done, None, gr.Textbox(), api_name="never_done")

if __name__ == "__main__":
    demo.launch()
