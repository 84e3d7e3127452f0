"""What people write in their Spaces, in the ways they write it: which code each gets.

The apps lie in doctor_variants/, a file for each subject, after lines of ==== with the code that is found, or none.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from doctor_spaces import CARD, codes, write

from zerokit.doctor import examine

PARTS = {
    "head": """
import spaces
import gradio as gr
import torch
from diffusers import DiffusionPipeline
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer, pipeline

pipe = DiffusionPipeline.from_pretrained("stabilityai/sdxl-turbo", torch_dtype=torch.float16).to("cuda")
""",
    "lm": """
tokenizer = AutoTokenizer.from_pretrained("gpt2")
model = AutoModelForCausalLM.from_pretrained("gpt2", dtype="auto").to("cuda")
""",
    "paint": """
@spaces.GPU(duration=10)
def paint(prompt):
    return pipe(prompt).images[0]
""",
    "page": """
gr.Interface(run, "text", "image", concurrency_limit=None).launch()
""",
}
"""What many of the apps begin or end with."""
FILES = sorted((Path(__file__).parent / "doctor_variants").glob("*.txt"))


def variants(file):
    """The apps in a file, each with its code or "none"."""
    for part in file.read_text("utf-8").split("==== ")[1:]:
        expected, _, source = part.partition("\n")
        for name, text in PARTS.items():
            source = source.replace(f"{{{name}}}\n", text)
        yield expected.strip(), source


CASES = [
    pytest.param(expected, source, id=f"{file.stem}-{number}-{expected}")
    for file in FILES
    for number, (expected, source) in enumerate(variants(file), 1)
]


@pytest.mark.parametrize(("expected", "source"), CASES)
def test_what_people_write(tmp_path, expected, source):
    assert codes(write(tmp_path, app__py=source)) == ([] if expected == "none" else [expected])


def test_a_module_of_its_own_counts_as_the_app(tmp_path):
    app = (
        "import tools\nimport gradio as gr\n\ngr.Interface(tools.run, 'text', 'image', concurrency_limit=1).launch()\n"
    )
    tools = (
        f"{PARTS['head']}{PARTS['paint']}\nhistory = []\n\n\ndef run(p):\n    history.append(p)\n    return paint(p)\n"
    )
    assert codes(write(tmp_path, app__py=app, **{"tools.py": tools})) == ["ZK407"]


def test_a_decorator_in_a_module_that_is_found_in_another_way_is_no_reason_to_worry(tmp_path):
    app = "import sys\nimport torch\nsys.path.append('src')\nimport deep\n"
    write(tmp_path, app__py=app, **{"src/deep.py": "import spaces\n\n@spaces.GPU\ndef f(a):\n    return a\n"})
    assert codes(tmp_path) == []


@pytest.mark.parametrize("name", [".env", "config/settings.json", "README.md", "notes.ipynb"])
def test_a_token_is_found_anywhere_and_not_shown(tmp_path, name):
    token = "hf_" + "Qw3rTy7uIoPa5sDfGhJkLzXcVbNm1234AB"
    text = f"{CARD}\n{token}\n" if name == "README.md" else f'{{"token": "{token}"}}\n'
    report = examine(write(tmp_path, **{name: text}))
    assert [finding.code for finding in report.findings] == ["ZK501"]
    assert report.findings[0].path == name
    assert token not in str(report.as_dict())


CARDS = [
    ([], {}),
    ([], {"python_version": '"3.10"'}),
    ([], {"python_version": "3.10"}),
    ([], {"python_version": "3.10.13  # as it is"}),
    ([], {"suggested_hardware": "cpu-basic", "python_version": "3.9", "sdk_version": "3.1"}),
    ([], {"suggested_hardware": "zero-a10g", "hf_oauth": "false"}),
    (["ZK105"], {"sdk_version": "3.50.2"}),
    (["ZK106"], {"python_version": "3.11"}),
    (["ZK106"], {"python_version": '"3.12.1"'}),
    (["ZK104"], {"sdk": "static"}),
    (["ZK104"], {"sdk": "streamlit", "sdk_version": "1.40"}),
    (["ZK111"], {"suggested_hardware": "ZeroGPU"}),
    (["ZK103"], {"sdk": ""}),
    (["ZK102"], {"app_file": "main.py"}),
]


@pytest.mark.parametrize(("expected", "fields"), CARDS)
def test_what_the_card_says(tmp_path, expected, fields):
    known = dict(line.split(": ", 1) for line in CARD.splitlines() if ": " in line)
    text = "".join(f"{name}: {value}\n" for name, value in {**known, **fields}.items())
    assert codes(write(tmp_path, README__md=f"---\n{text}---\n")) == expected


REQUIREMENTS = [
    ([], ""),
    ([], "spaces\ntorch>=2.4\n"),
    ([], "spaces>=0.40\n# spaces==0.30\n"),
    ([], "torch==2.9.1 ; sys_platform == 'linux'\n"),
    ([], "torch==2.8.0+cu128\n"),
    ([], "torch~=2.8\n"),
    ([], "flash-attn-3-wheels\nnot a requirement at all !!\n-r more.txt\n\\\n"),
    ([], "https://example.org/flash_attn-2.8.3-cp312-cp312-linux_x86_64.whl\n"),
    ([], "flash-attn @ https://example.org/flash_attn-2.8.3-cp312-cp312-linux_x86_64.whl\n"),
    ([], "git+https://github.com/huggingface/diffusers.git@main#egg=diffusers\n"),
    (["ZK107"], "torch==2.3.1\n"),
    (["ZK107"], "torch<2.8\n"),
    (["ZK107"], "Torch >=2.0, <2.5\n"),
    (["ZK108"], "Spaces == 0.31.0\n"),
    (["ZK108"], "spaces @ https://example.org/spaces-0.30.0-py3-none-any.whl\n"),
    (["ZK109"], "flash_attn>=2.5\n"),
    (["ZK109"], "git+https://github.com/facebookresearch/pytorch3d.git@stable\n"),
    (["ZK109"], "git+https://github.com/facebookresearch/detectron2.git\n"),
    (["ZK109"], "causal-conv1d==1.4.0 --no-build-isolation\n"),
    (["ZK601"], "--index-url https://download.pytorch.org/whl/cpu\ntorch\n"),
    (["ZK601"], "torch==2.8.0+cpu\n"),
]


@pytest.mark.parametrize(("expected", "text"), REQUIREMENTS)
def test_what_is_required(tmp_path, expected, text):
    assert codes(write(tmp_path, requirements__txt=text)) == expected


PAID = CARD.replace("zero-a10g", "l4x1")
OWN = [
    (["ZK604"], {}),
    ([], {"README.md": PAID.replace("l4x1", "cpu-basic")}),
    ([], {"README.md": PAID.replace("suggested", "# zerokit: ignore[ZK604, ZK605]\nsuggested")}),
    (["ZK601", "ZK604"], {"requirements.txt": "torch==2.8.0+cpu\n"}),
    (
        ["ZK604"],
        {
            "requirements.txt": "jax[cuda12_pip]\n-f https://storage.googleapis.com/jax-releases/jax_cuda_releases.html\n"
        },
    ),
    (["ZK604"], {"requirements.txt": "jax\njax-cuda12-plugin\n"}),
    (["ZK604"], {"app.py": "import torch\ntorch.compile(print)\nasync def f():\n    import spaces\n"}),
    (
        [],
        {"app.py": "import torch\nimport huggingface_hub as hub\nhub.set_space_sleep_time('a/b', 3600)\n"},
    ),
    (["ZK604", "ZK605"], {"app.py": "import gradio\n", "requirements.txt": "gradio\n"}),
    (["ZK604"], {"app.py": "import gradio\nfrom hidden import model\n", "requirements.txt": "onnxruntime-gpu\n"}),
    (["ZK604"], {"README.md": PAID.replace("sdk: gradio", "sdk: docker"), "app.py": None}),
]


@pytest.mark.parametrize(("expected", "files"), OWN)
def test_a_gpu_of_its_own(tmp_path, expected, files):
    assert codes(write(tmp_path, **{"README.md": PAID, **files})) == expected
