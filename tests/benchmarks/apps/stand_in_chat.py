"""A ZeroChat whose model has the pace and the answers of a large one, without its weights.

What is stood in for: how long a worker loads, how long a token takes, and where an answer ends. The request says the
last of these in its system prompt, as a number of tokens, where no estimate looks. Everything else is the real thing.
"""

import os
import re
import time

import spaces.zero.torch as zero_torch
import torch
from parts.pace import LOADING_S, PARAMETERS, READ_S, TOKEN_S

from zerokit import ZeroChat
from zerokit.engines.text import TextEngine

engine = TextEngine(os.environ["BENCHMARK_MODEL"], dtype="float32")
model, end = engine.model, engine.tokenizer.eos_token_id
engine.packed_bytes = 2 * PARAMETERS
# One number, seen as billions: what the estimate starts from is the size of the model that is stood in for.
model.lm_head.register_parameter("size", torch.nn.Parameter(torch.zeros(1).expand(PARAMETERS), requires_grad=False))

length = made = 0
due = 0.0


def before(module, args, kwargs):
    """Let no forward be over earlier than on a card; with a prompt, read in it how long the answer gets."""
    global length, made, due
    ids = kwargs["input_ids"]
    if ids.shape[1] > 1:
        said = re.search(r"system\n(\d+)", engine.tokenizer.decode(ids[0]))
        length, made = int(said[1]) if said else 0, 0
        due = time.monotonic() + ids.shape[1] * READ_S
    made += 1
    due += TOKEN_S
    time.sleep(max(0.0, due - time.monotonic()))


def after(module, args, output):
    """No answer ends before its length, and every one does then."""
    if length:
        output.logits[..., end] = 1e4 if made >= length else -1e4
    return output


model.register_forward_pre_hook(before, with_kwargs=True)
model.register_forward_hook(after)
move = zero_torch.move


def move_slowly(*args, **kwargs):
    time.sleep(LOADING_S)
    return move(*args, **kwargs)


zero_torch.move = move_slowly
demo = ZeroChat(engine, title="Stand-in")

if __name__ == "__main__":
    demo.launch()
