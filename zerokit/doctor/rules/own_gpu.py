"""Rules for Spaces on a GPU that is paid by the hour, after the Hub's guide to GPU Spaces."""

from __future__ import annotations

from collections.abc import Iterator

from ..findings import Spot
from ..rule import rule
from ..space import Space

_CARD = "---\nsdk: gradio\nsdk_version: 6.31.0\nsuggested_hardware: {hardware}\n---\n"
_GPU_PACKAGES = {
    *("accelerate", "ctranslate2", "cupy", "diffusers", "faster-whisper", "flax", "jax", "keras", "llama-cpp-python"),
    *("onnxruntime-gpu", "openai-whisper", "paddlepaddle-gpu", "peft", "sentence-transformers", "tensorflow", "torch"),
    *("torchaudio", "torchvision", "transformers", "ultralytics", "vllm", "zerokit"),
}
_GPU_IMPORTS = {name.replace("-", "_") for name in _GPU_PACKAGES} | {"llama_cpp", "onnxruntime", "whisper"}
_CPU_INDEX = "download.pytorch.org/whl/cpu"


@rule(
    "ZK601",
    "error",
    "torch is built for the CPU",
    why="This build of torch has no CUDA in it: the GPU is there, and nothing uses it.",
    advice="Leave the index and the `+cpu` out. PyPI's torch brings CUDA along; another version of it comes from "
    "https://download.pytorch.org/whl/cu128 and the like.",
    file="requirements.txt",
    wrong="--extra-index-url https://download.pytorch.org/whl/cpu\ntorch==2.8.0+cpu",
    right="--extra-index-url https://download.pytorch.org/whl/cu128\ntorch==2.8.0",
    fixable=False,
)
def cpu_torch(space: Space) -> Iterator[Spot]:
    if not _wants_gpu(space):
        return
    path = space.requirements.path
    for number, option in space.requirements.options:
        is_only = option.startswith(("--index-url", "-i ")) and not any(
            other.startswith("--extra-index-url") for _, other in space.requirements.options
        )
        asks = any("+cpu" in str(package.specifier) for package in space.requirements.named("torch"))
        if _CPU_INDEX in option and (is_only or asks):
            yield Spot(path, number, "This index holds builds for the CPU.")
    for package in space.requirements.named("torch"):
        if "+cpu" in str(package.specifier) or "whl/cpu" in package.url or "%2Bcpu" in package.url:
            yield Spot(path, package.line, f"`{package.text[:80]}` is a build for the CPU.")


@rule(
    "ZK602",
    "warning",
    "JAX is built for the CPU",
    why="`jax` alone brings no CUDA: it computes on the CPU.",
    advice="Ask for `jax[cuda12]`.",
    file="requirements.txt",
    wrong="jax\nflax",
    right="jax[cuda12]\nflax",
)
def cpu_jax(space: Space) -> Iterator[Spot]:
    if not space.has_own_gpu:
        return
    helped = any("jax" in option for _, option in space.requirements.options)
    plugins = any(package.name.startswith(("jax-cuda", "jaxlib-cuda")) for package in space.requirements.packages)
    for package in space.requirements.named("jax"):
        if not helped and not plugins and not package.url and not any("cuda" in extra for extra in package.extras):
            yield Spot(space.requirements.path, package.line, f"`{package.text[:80]}` has no CUDA in it.")


@rule(
    "ZK603",
    "error",
    "TensorFlow is built for the CPU",
    why="`tensorflow-cpu` has no CUDA in it: the GPU is there, and nothing uses it.",
    advice="Ask for `tensorflow[and-cuda]`.",
    file="requirements.txt",
    wrong="tensorflow-cpu==2.19.0",
    right="tensorflow[and-cuda]==2.19.0",
)
def cpu_tensorflow(space: Space) -> Iterator[Spot]:
    for package in space.requirements.named("tensorflow-cpu") if space.has_own_gpu else ():
        yield Spot(space.requirements.path, package.line, f"`{package.text[:80]}` is a build for the CPU.")


@rule(
    "ZK604",
    "warning",
    "The GPU is paid for until it sleeps",
    why="A GPU of one's own is billed for every minute that the Space runs, used or not, and such a Space never sleeps "
    "unless it is told when. The card cannot say it.",
    advice="Set a sleep time in the Space's settings, or deploy with `--sleep-time`. Then silence this with "
    "`# zerokit: ignore[ZK604]` behind the hardware's name.",
    file="README.md",
    wrong=_CARD.format(hardware="l4x1"),
    right=_CARD.format(hardware="l4x1  # zerokit: ignore[ZK604]"),
)
def no_sleep(space: Space) -> Iterator[Spot]:
    sleeps = any("sleep_time" in module.text for module in space.program.modules)
    if space.has_own_gpu and not sleeps:
        line = space.card.line("suggested_hardware")
        yield Spot("README.md", line, f"A Space on {space.hardware[:40]} runs on, and is billed, without visitors.")


@rule(
    "ZK605",
    "warning",
    "Nothing uses the GPU",
    why="A GPU of one's own is billed for every minute that the Space runs, and neither the program nor its "
    "requirements name anything that computes on one.",
    advice="Say `suggested_hardware: cpu-basic`, which costs nothing.",
    wrong="import gradio as gr\n\n\ndef greet(name):\n    return f'Hello {name}'\n\n\n"
    "gr.Interface(greet, 'text', 'text').launch()\n",
    right="import gradio as gr\nimport torch\n\n\n"
    "def total(a, b):\n    return torch.tensor([a, b]).cuda().sum().item()\n\n\n"
    "gr.Interface(total, ['number', 'number'], 'number').launch()\n",
)
def unused_gpu(space: Space) -> Iterator[Spot]:
    if not space.has_own_gpu or not space.program.modules or space.unreadable:
        return
    asked = {package.name for package in space.requirements.packages}
    if space.imported & _GPU_IMPORTS or asked & _GPU_PACKAGES or any("cuda" in m.text for m in space.program.modules):
        return
    yield Spot("README.md", space.card.line("suggested_hardware"), f"{space.hardware[:40]} has nothing to compute.")


@rule(
    "ZK606",
    "warning",
    "The model stays on the CPU",
    why="A model is on the CPU until it is placed elsewhere. The GPU is billed meanwhile.",
    advice='Place it after loading, with `.to("cuda")` or `device_map="cuda"`.',
    wrong="import gradio as gr\nfrom transformers import AutoModel, AutoTokenizer\n\n"
    'tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")\n'
    'model = AutoModel.from_pretrained("bert-base-uncased")\n\n\n'
    "def embed(text):\n"
    '    return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, 0].tolist()\n\n\n'
    "gr.Interface(embed, 'text', 'json').launch()\n",
    right="import gradio as gr\nfrom transformers import AutoModel, AutoTokenizer\n\n"
    'tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")\n'
    'model = AutoModel.from_pretrained("bert-base-uncased").to("cuda")\n\n\n'
    "def embed(text):\n"
    '    inputs = tokenizer(text, return_tensors="pt").to("cuda")\n'
    "    return model(**inputs).last_hidden_state[0, 0].tolist()\n\n\n"
    "gr.Interface(embed, 'text', 'json').launch()\n",
)
def left_on_cpu(space: Space) -> Iterator[Spot]:
    words = ("cuda", "device", "accelerat")
    if not space.has_own_gpu or any(word in m.text for word in words for m in space.program.modules):
        return
    for load in space.loads:
        is_known = load.what.startswith(("transformers.Auto", "diffusers."))
        if is_known and load.has_all_written:
            yield Spot(load.module.path, load.call.lineno, f"`{load.kind}` is never placed on the GPU.")


def _wants_gpu(space: Space) -> bool:
    return space.has_own_gpu or (space.is_zero_gpu and bool(space.hardware))
