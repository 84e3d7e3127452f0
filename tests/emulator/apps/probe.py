"""Small GPU functions that look at the device from inside a worker: threads, generators, mix-ups, sign-in."""

import threading
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import spaces
import torch

weights = torch.arange(4.0).to("cuda")
model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2)).cuda().half()


@spaces.GPU(duration=10)
def facade() -> dict:
    generator = torch.Generator(device="cuda").manual_seed(7)
    noise = torch.randn(2, device="cuda", generator=generator)
    generator.manual_seed(7)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        product = torch.ones(2, 2, device="cuda") @ torch.ones(2, 2, device="cuda")
    with torch.device("cuda"):
        made = torch.zeros(3)
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    end.record()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.manual_seed_all(0)
    torch.cuda.reset_peak_memory_stats()
    return {
        "available": torch.cuda.is_available(),
        "name": torch.cuda.get_device_name(0),
        "capability": torch.cuda.get_device_capability(),
        "total": torch.cuda.get_device_properties(0).total_memory,
        "free": torch.cuda.mem_get_info()[0],
        "allocated": torch.cuda.memory_allocated(),
        "same_noise": bool((noise.cpu() == torch.randn(2, device="cuda", generator=generator).cpu()).all()),
        "autocast": str(product.dtype),
        "generator": isinstance(generator, torch.Generator),
        "sum": float((weights * torch.tensor(2.0)).sum()),
        "device": str(weights.device),
        "made": str(made.device),
        "default": str(torch.zeros(2, device=0).device),
        "stream": torch.cuda.current_stream().query(),
        "elapsed": start.elapsed_time(end) >= 0,
        "half": str(model(torch.ones(1, 4, device="cuda", dtype=torch.float16)).dtype),
    }


@spaces.GPU(duration=10)
def threads() -> list[float]:
    """As transformers' streamer is used: the work is in a thread of the author's own."""
    results = []

    def work() -> None:
        results.append(float((weights.cuda() + torch.ones(4, device="cuda")).sum()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: work(), range(2)))
    return results


@spaces.GPU(duration=10)
def late() -> str:
    """What loads a model in the call imports in the worker."""
    import torch._dynamo

    return torch._dynamo.__name__


@spaces.GPU(duration=10)
def mixed() -> float:
    return float((weights + torch.ones(4)).sum())


@spaces.GPU(duration=10)
def leak() -> torch.Tensor:
    return weights * 2


@spaces.GPU(duration=10)
def forward(times: float) -> list[float]:
    means = []
    for _ in range(int(times)):
        try:
            means.append(float(model(torch.ones(1, 4, device="cuda").half()).float().mean()))
        except torch.OutOfMemoryError:
            means.append(-1.0)
    return means


def who(request: gr.Request, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None) -> dict:
    return {
        "header": request.headers.get("x-ip-token"),
        "profile": None if profile is None else profile.username,
        "token": None if token is None else token.token,
    }


with gr.Blocks() as demo:
    gr.LoginButton()
    gr.Button().click(facade, None, gr.JSON(), api_name="facade")
    gr.Button().click(threads, None, gr.JSON(), api_name="threads")
    gr.Button().click(late, None, gr.Textbox(), api_name="late")
    gr.Button().click(mixed, None, gr.Number(), api_name="mixed")
    gr.Button().click(leak, None, gr.Textbox(), api_name="leak")
    gr.Button().click(forward, gr.Number(1), gr.JSON(), api_name="forward")
    gr.Button().click(who, None, gr.JSON(), api_name="who")

demo.launch()
