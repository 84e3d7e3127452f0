"""README and docs: every Python block runs, and every path, link, command, make target and name in them exists.

The blocks of a page run one after the other in one namespace, as `__main__`, with the embedded model in place of one
from the Hub. The test gives the time and the folder; the code is the page's own, `launch()` included.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import inspect
import re
import sys
import types
from pathlib import Path

import gradio as gr
import pytest

import zerokit
from zerokit import cli, errors
from zerokit.quota.platform import PLANS

ROOT = Path(zerokit.__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HUB_MODEL = re.compile(r'"[\w-]+/[\w.-]+-(?:Instruct|base)[\w.-]*"')
NOT_RUN = "<!-- not run:"

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page, language):
    """The fenced blocks of a page in that language, with their line, without those marked as not run."""
    text = page.read_text("utf-8")
    for match in FENCE.finditer(text):
        before = text[: match.start()].rstrip().rpartition("\n")[2]
        if match[1] == language and not before.startswith(NOT_RUN):
            yield text.count("\n", 0, match.start()) + 1, match[2]


def prose(page):
    return FENCE.sub("", page.read_text("utf-8"))


def inline_code(page):
    return re.findall(r"`([^`\n]+)`", prose(page))


@pytest.fixture
def launched(monkeypatch, tmp_path):
    """`launch()` returns instead of waiting for Ctrl+C, on 7860 as the pages say where that is free."""
    apps = []
    launch = gr.Blocks.launch

    @functools.wraps(launch)
    def launch_and_return(self, *args, **kwargs):
        apps.append(self)
        return launch(self, *args, **{**kwargs, "prevent_thread_lock": True, "quiet": True})

    monkeypatch.setattr(gr.Blocks, "launch", launch_and_return)
    monkeypatch.setenv("ZEROKIT_HOME", str(tmp_path))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.chdir(tmp_path)
    yield apps
    for app in apps:
        app.close(verbose=False)
    apps.clear()
    gc.collect()


# Gradio's server leaves its event loop unclosed in a thread that ends; the fixture has it collected here.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "page", [p for p in PAGES if list(blocks(p, "python"))], ids=lambda page: str(page.relative_to(ROOT))
)
def test_python_blocks_run(page, launched, monkeypatch):
    main = types.ModuleType("__main__")
    main.__file__ = str(page)
    monkeypatch.setitem(sys.modules, "__main__", main)
    for line, source in blocks(page, "python"):
        source = HUB_MODEL.sub('"embedded"', source)
        if launched:
            source = source.replace("http://127.0.0.1:7860", launched[0].local_url)
        exec(compile("\n" * line + source, str(page), "exec"), main.__dict__)


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}"


def anchors(page):
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pages
def test_paths_exist(page):
    for code in inline_code(page):
        if re.match(r"(zerokit|docs|tests|apps)/[\w./*-]+$", code):
            assert list(ROOT.glob(code)), f"{page.name} names {code}"


@pages
def test_commands_exist(page):
    import typer.main

    commands = typer.main.get_command(cli.app).commands
    for line in commands_in(page):
        words = re.split(r"\s+", line)
        if words[0] == "make" and len(words) > 1:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
        elif words[0] == "zerokit" and len(words) > 1 and not words[1].startswith("-") and words[1] != "COMMAND":
            assert words[1] in commands, f"{page.name}: {line}"
            known = {name for option in commands[words[1]].params for name in option.opts} | {"--help"}
            for option in re.findall(r"(?<=\s)--?[a-z][\w-]*", line.partition(" -- ")[0]):
                assert option in known, f"{page.name}: {line}"
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), f"{page.name}: {line}"


def commands_in(page):
    shown = "\n".join(block for language in ("", "bash", "sh", "console") for _, block in blocks(page, language))
    for line in [*shown.splitlines(), *inline_code(page)]:
        yield re.sub(r"^(\$ )?(\.venv/bin/)?", "", line.strip())


@pages
def test_names_exist(page):
    for code in inline_code(page):
        name = re.match(r"@?(zerokit(?:\.\w+)+)(\(|$)", code)
        if name and not name[1].endswith((".py", ".toml")):
            assert resolved(name[1]) is not None, f"{page.name} names {code}"


def resolved(dotted):
    """The module or the attribute of that name."""
    parts = dotted.split(".")
    found = zerokit
    for i, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[:i]))
        found = getattr(found, part)
    return found


def every_error():
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.ZeroKitError)]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_is_explained_under_its_title(kind):
    text = (ROOT / "docs/guides/errors.md").read_text("utf-8")
    if kind is errors.ZeroKitError:
        assert f"`zerokit.{kind.__name__}`" in text
    else:
        assert f"| `{kind.__name__}` | {kind.title} |" in text


def test_errors_that_are_explained_exist():
    names = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/guides/errors.md").read_text("utf-8"), re.MULTILINE)
    assert set(names) | {"ZeroKitError"} == {kind.__name__ for kind in every_error()}


def test_the_days_in_concepts_are_those_of_the_data_file():
    rows = re.findall(r"^\| ([^|]+) \| ([\d,]+)[^|]* \| ([^|]+) \|$", (ROOT / "docs/concepts.md").read_text(), re.M)
    told = {label.strip().lower(): (int(base.replace(",", "")), runs.strip()) for label, base, runs in rows}
    for plan in PLANS.values():
        label = next(key for key in told if plan.label.lower() in key)
        runs = str(plan.runs) if plan.runs is not None else "no limit seen"
        assert told[label] == (plan.base_s, runs)


def test_every_public_name_is_in_the_documents():
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    for name in set(zerokit.__all__) - {"__version__"}:
        assert re.search(rf"\b{name}\b", text), f"nothing says what {name} is"
