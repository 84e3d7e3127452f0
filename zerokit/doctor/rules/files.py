"""Rules about the card, the app's file and the requirements."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.version import InvalidVersion, Version

from ...quota.platform import COMPILED_PACKAGES, LEAST_GRADIO, SUPPORTED_PYTHON, SUPPORTED_TORCH
from ..card import ZERO_GPU
from ..findings import Spot
from ..gpu import blocks_named
from ..reading import is_file
from ..rule import rule
from ..source import keyword
from ..space import Space

_FOR_ZEROKIT = "6.27"
"""As pyproject.toml asks for it."""
_MINOR = {version.rpartition(".")[0]: version for version in SUPPORTED_PYTHON}
_ZERO_GPU_NAMES = ("zero", "zerogpu", "zero-gpu", "zero_gpu", "zero-a10", "zero_a10g", "zero-a100", "zero-h200")


@rule(
    "ZK101",
    "error",
    "A file cannot be read",
    why="A Space whose app does not parse ends before its page is there. Files are read as UTF-8.",
    advice="Mend the line that is named. Save the file as UTF-8 text.",
    wrong="import spaces\n\n\n@spaces.GPU\ndef greet(name)\n    return name",
    right="import spaces\n\n\n@spaces.GPU\ndef greet(name):\n    return name",
)
def unreadable(space: Space) -> Iterator[Spot]:
    yield from space.unreadable


@rule(
    "ZK102",
    "error",
    "The app's file is not there",
    why="The Hub runs the file that the card names as `app_file`, or app.py.",
    advice="Correct `app_file` in the card, or add the file.",
    file="README.md",
    wrong="---\nsdk: gradio\napp_file: main.py\n---",
    right="---\nsdk: gradio\napp_file: app.py\n---",
)
def no_app(space: Space) -> Iterator[Spot]:
    if space.card.get("sdk") in ("", "gradio") and not is_file(space.folder, space.app_file):
        yield Spot("README.md", space.card.line("app_file", "sdk"), f"There is no file {space.app_file[:80]}.")


@rule(
    "ZK103",
    "error",
    "The card cannot be read",
    why="The Hub learns from the card what kind of Space it is, and builds nothing without it.",
    advice="Begin README.md with a line of ---, the fields, and a line of ---. One of them is `sdk: gradio`.",
    file="README.md",
    wrong="---\ntitle: Chat: fast\nsdk: gradio\n---",
    right='---\ntitle: "Chat: fast"\nsdk: gradio\n---',
)
def no_card(space: Space) -> Iterator[Spot]:
    card = space.card
    if card.problem:
        yield Spot("README.md", card.problem_line, card.problem)
    elif not card.get("sdk"):
        yield Spot("README.md", 1, "The card does not say which `sdk` it is for.")


@rule(
    "ZK104",
    "error",
    "ZeroGPU runs Gradio only",
    why="The platform takes GPU calls from Gradio's events; Docker, Streamlit and static Spaces have none.",
    advice="Write the page with Gradio and say `sdk: gradio`, or choose another hardware.",
    file="README.md",
    wrong="---\nsdk: docker\nsuggested_hardware: zero-a10g\n---",
    right="---\nsdk: gradio\nsuggested_hardware: zero-a10g\n---",
)
def wrong_sdk(space: Space) -> Iterator[Spot]:
    sdk = space.card.get("sdk")
    if space.hardware == ZERO_GPU and sdk not in ("", "gradio"):
        yield Spot("README.md", space.card.line("sdk"), f"The card says `sdk: {sdk[:40]}`.")


@rule(
    "ZK105",
    "error",
    "This Gradio is too old",
    why=f"`spaces` refuses to schedule a call under Gradio before {LEAST_GRADIO}, and ZeroKit needs "
    f"{_FOR_ZEROKIT} or newer.",
    advice="Set `sdk_version` to a newer one that you have tried.",
    file="README.md",
    wrong="---\nsdk: gradio\nsdk_version: 3.50.2\nsuggested_hardware: zero-a10g\n---",
    right="---\nsdk: gradio\nsdk_version: 6.31.0\nsuggested_hardware: zero-a10g\n---",
)
def old_gradio(space: Space) -> Iterator[Spot]:
    version = _version(space.card.get("sdk_version"))
    if version is None or not space.is_zero_gpu or space.card.get("sdk") != "gradio":
        return
    for least, what in ((LEAST_GRADIO, "ZeroGPU"), (_FOR_ZEROKIT, "ZeroKit")):
        if version < Version(least) and (what == "ZeroGPU" or "zerokit" in space.imported):
            message = f"`sdk_version` is {version}, and {what} needs {least} or newer."
            yield Spot("README.md", space.card.line("sdk_version"), message)
            return


@rule(
    "ZK106",
    "error",
    "This Python is not on ZeroGPU",
    why=f"ZeroGPU has Python {' and '.join(SUPPORTED_PYTHON)}, and takes 3.10 where the card says nothing.",
    advice='Say `python_version: "3.12"` in the card.',
    file="README.md",
    wrong='---\nsdk: gradio\npython_version: "3.11"\nsuggested_hardware: zero-a10g\n---',
    right='---\nsdk: gradio\npython_version: "3.12"\nsuggested_hardware: zero-a10g\n---',
    fixable=True,
)
def python_version(space: Space) -> Iterator[Spot]:
    said = space.card.get("python_version")
    if said and space.is_zero_gpu and said not in _MINOR and said not in SUPPORTED_PYTHON:
        line = space.card.line("python_version")
        yield Spot("README.md", line, f"The card asks for Python {said[:20]}.", fixable=True)


@rule(
    "ZK107",
    "error",
    "This torch is not on ZeroGPU",
    why=f"ZeroGPU works with torch {', '.join(SUPPORTED_TORCH)}: `spaces` replaces parts of it.",
    advice=f"Ask for one of these, such as torch=={SUPPORTED_TORCH[-1]}, or leave the version out.",
    file="requirements.txt",
    wrong="torch==2.3.1\ndiffusers",
    right="torch==2.8.0\ndiffusers",
)
def torch_version(space: Space) -> Iterator[Spot]:
    for package in space.requirements.named("torch") if space.is_zero_gpu else ():
        if package.specifier and not any(package.specifier.contains(version) for version in SUPPORTED_TORCH):
            local = [v for v in SUPPORTED_TORCH if f"=={v}+" in str(package.specifier)]
            if not local:
                yield Spot(space.requirements.path, package.line, f"`{package.text[:80]}` lets none of them in.")


@rule(
    "ZK108",
    "error",
    "`spaces` is pinned",
    why="The platform installs the `spaces` that fits its scheduler. Another one cannot be installed beside it, or "
    "speaks to a scheduler that is no longer there.",
    advice="Write `spaces` without a version, or leave the line out.",
    file="requirements.txt",
    wrong="spaces==0.30.2\ntorch",
    right="spaces\ntorch",
    fixable=True,
)
def spaces_pinned(space: Space) -> Iterator[Spot]:
    for package in space.requirements.named("spaces"):
        pins = any(part.operator in ("==", "===", "~=", "<", "<=") for part in package.specifier)
        if pins or package.url:
            yield Spot(
                space.requirements.path, package.line, f"`{package.text[:80]}` pins it.", fixable=not package.url
            )


@rule(
    "ZK109",
    "error",
    "A package must be compiled",
    why="The build of a Space has no nvcc, and does not see the torch it is about to install. These packages have no "
    "wheels on PyPI, so the build fails.",
    advice="Name a wheel by its address, use the `kernels` package (for flash attention), or do without: torch's own "
    "`scaled_dot_product_attention` is on by default.",
    file="requirements.txt",
    wrong="torch==2.8.0\nflash-attn",
    right="torch==2.8.0\n"
    "https://github.com/Dao-AILab/flash-attention/releases/download/v2.8.3/"
    "flash_attn-2.8.3+cu12torch2.8cxx11abiTRUE-cp312-cp312-linux_x86_64.whl",
)
def compiled_package(space: Space) -> Iterator[Spot]:
    if (not space.is_zero_gpu and not space.has_own_gpu) or space.card.get("sdk") == "docker":
        return
    for package in space.requirements.named(*COMPILED_PACKAGES):
        if not package.is_wheel:
            yield Spot(space.requirements.path, package.line, f"`{package.name}` has no wheel that pip would take.")


@rule(
    "ZK110",
    "warning",
    "The meter cannot ask what is left",
    why="The Hub tells the seconds a visitor has left only with the visitor's sign-in to the Space, and only with the "
    "scope `read-billing`. Without it the bar shows the most it can be.",
    advice="Add `hf_oauth: true` and `hf_oauth_scopes: [read-billing]` to the card, or say `sign_in=False`.",
    file="README.md",
    wrong="---\nsdk: gradio\nsuggested_hardware: zero-a10g\n---",
    right="---\nsdk: gradio\nhf_oauth: true\nhf_oauth_scopes:\n  - read-billing\nsuggested_hardware: zero-a10g\n---",
    fixable=True,
)
def no_oauth(space: Space) -> Iterator[Spot]:
    if space.card.problem or not space.is_zero_gpu or not _asks_for_quota(space):
        return
    fields = space.card.fields
    scopes = fields.get("hf_oauth_scopes")
    missing = []
    if fields.get("hf_oauth") is not True:
        missing.append("`hf_oauth: true`")
    if not isinstance(scopes, list) or "read-billing" not in scopes:
        missing.append("the scope `read-billing`")
    if missing:
        line = space.card.line("hf_oauth_scopes", "hf_oauth", "sdk")
        is_list = scopes is None or isinstance(scopes, list)
        yield Spot("README.md", line, f"The card lacks {' and '.join(missing)}.", fixable=is_list)


@rule(
    "ZK111",
    "error",
    "The hardware has another name",
    why="The Hub knows ZeroGPU as `zero-a10g`, whatever card is behind it, and refuses a name that it does not know.",
    advice="Say `suggested_hardware: zero-a10g`.",
    file="README.md",
    wrong="---\nsdk: gradio\nsuggested_hardware: zero-gpu\n---",
    right="---\nsdk: gradio\nsuggested_hardware: zero-a10g\n---",
    fixable=True,
)
def hardware_name(space: Space) -> Iterator[Spot]:
    if space.hardware in _ZERO_GPU_NAMES:
        line = space.card.line("suggested_hardware")
        yield Spot("README.md", line, f"There is no hardware {space.hardware!r}.", fixable=True)


def _asks_for_quota(space: Space) -> bool:
    if any(True for _ in blocks_named(space.gpu, "ZeroChat", "ZeroDiffusion", "ZeroLoRA")):
        return True
    for module in space.program.modules:
        for call, full in space.program.calls(module):
            name = full.rpartition(".")[2]
            if name == "ZeroQuota" and full.startswith("zerokit."):
                offered = keyword(call, "sign_in")
                if offered is None or getattr(offered, "value", None) is not False:
                    return True
            elif full == "huggingface_hub.get_zero_gpu_quota":
                return True
    return False


def _version(said: str) -> Version | None:
    try:
        return Version(said) if said else None
    except InvalidVersion:
        return None
