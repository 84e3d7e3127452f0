"""README and docs: every Python block runs, and every path, link, command, make target and name in them exists.

The blocks of a page run one after the other in one namespace, as `__main__`, with the embedded model in place of one
from the Hub. The test gives the time and the folder; the code is the page's own, `launch()` included.
"""

from __future__ import annotations

import ast
import functools
import gc
import importlib.util
import inspect
import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client, handle_file

import zerokit
import zerokit.doctor
import zerokit.emulator
import zerokit.testing
from zerokit import cli, embedded, errors
from zerokit.calls import refusals
from zerokit.quota.platform import PLANS

ROOT = Path(zerokit.__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FROM_HUB = re.compile(r'"([\w-]+/[\w.-]+)"')
EMBEDDED = {"Instruct": "chat", "base": "image", "pixel-art": "image-outline"}
"""What stands for a name on the Hub, by a part of it."""
BY_HAND = ("from_pretrained(", "load_lora_weights(")
NOT_RUN = "<!-- not run:"
PROMPT = r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?"
"""What may stand before a command."""

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page, language):
    """The fenced blocks of a page in that language, with their line, without those marked as not run."""
    text = page.read_text("utf-8")
    for match in FENCE.finditer(text):
        before = text[: match.start()].rstrip().rpartition("\n")[2]
        if match[1] == language and not before.startswith(NOT_RUN):
            yield text.count("\n", 0, match.start()) + 1, match[2]


def offline(source):
    """The code with what comes with ZeroKit for what lies on the Hub; other libraries get its folder."""
    by_hand = any(call in source for call in BY_HAND)

    def embedded_one(match):
        name = next((name for part, name in EMBEDDED.items() if part in match[1]), None)
        if name is None:
            return match[0]
        return repr(str(embedded.path(name)) if by_hand else f"embedded:{name}" if "-" in name else "embedded")

    return FROM_HUB.sub(embedded_one, source)


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
    "page",
    [p for p in PAGES if list(blocks(p, "python")) and p.name != "from-spaces.md"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_python_blocks_run(page, launched, monkeypatch):
    for name, test in list(vars(executed(page, launched, monkeypatch)).items()):
        if name.startswith("test_") and not inspect.signature(test).parameters:  # tests/apps runs those with fixtures
            test()


def executed(page, launched, monkeypatch):
    """The module that the Python blocks of a page make together."""
    main = types.ModuleType("__main__")
    main.__file__ = str(page)
    monkeypatch.setitem(sys.modules, "__main__", main)
    for line, source in blocks(page, "python"):
        source = offline(source)
        if launched:
            source = source.replace("http://127.0.0.1:7860", launched[0].local_url)
        exec(compile("\n" * line + source, str(page), "exec"), main.__dict__)
    return main


@pages
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}"


def test_a_space_by_hand_and_the_same_with_zerokit_both_answer(launched, monkeypatch):
    executed(ROOT / "docs/guides/from-spaces.md", launched, monkeypatch)
    picture = handle_file(str(ROOT / "docs/images/meter-low.png"))
    asked = [
        ("/reply", {"message": "What is ZeroGPU?", "max_new_tokens": 16}),
        ("/chat", {"message": "What is ZeroGPU?", "max_new_tokens": 16}),
        ("/paint", {"prompt": "a red circle", "steps": 2, "seed": 7}),
        ("/generate", {"prompt": "a red circle", "steps": 2, "seed": 7}),
        ("/paint", {"prompt": "a red circle", "steps": 2, "style": True, "weight": 0.5}),
        ("/generate", {"prompt": "a red circle", "steps": 2, "adapters": ["image-outline"]}),
        ("/soften", {"picture": picture, "steps": 2}),
        ("/soften", {"picture": picture, "steps": 2}),
        ("/shout", {"text": "quietly"}),
    ]
    assert len(launched) == len(asked)
    for app, (name, values) in zip(launched, asked, strict=True):
        assert Client(app.local_url, verbose=False).predict(**values, api_name=name), name


def anchors(page):
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pages
def test_paths_exist(page):
    for code in inline_code(page):
        if re.match(r"(zerokit|docs|tests|apps)/[\w./*-]+$", code):
            assert list(ROOT.glob(code)), f"{page.name} names {code}"


def commands():
    import typer.main

    return typer.main.get_command(cli.app).commands


@pages
def test_commands_exist(page):
    for line in commands_in(page):
        words = re.split(r"\s+", line)
        if words[0] == "make" and len(words) > 1:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
        elif words[0] == "zerokit" and len(words) > 1 and not words[1].startswith("-") and words[1] != "COMMAND":
            assert words[1] in commands(), f"{page.name}: {line}"
            known = {name for option in commands()[words[1]].params for name in option.opts} | {"--help"}
            for option in re.findall(r"(?<=\s)--?[a-z][\w-]*", line.partition(" -- ")[0]):
                assert option in known, f"{page.name}: {line}"
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), f"{page.name}: {line}"
        elif words[0] in ("python", "pytest") and len(words) > 1 and words[1].startswith(("docs/", "tests/")):
            assert (ROOT / words[1]).exists(), f"{page.name}: {line}"


@pages
def test_shown_command_lines_are_understood(page):
    """Those of a block of their own, with their arguments and the values of their options."""
    for line in shown_lines(page):
        name, *given = shlex.split(line)[1:] if line.startswith("zerokit ") else [""]
        if name in commands():
            commands()[name].make_context(name, given)


def commands_in(page):
    yield from shown_lines(page)
    yield from map(without_prompt, inline_code(page))


def shown_lines(page):
    """The lines of blocks in which commands stand, as one types them."""
    shown = "\n".join(block for language in ("", "bash", "sh", "console") for _, block in blocks(page, language))
    return [without_prompt(line) for line in shown.splitlines() if re.match(PROMPT + r"\w", line)]


def without_prompt(line):
    return re.sub(PROMPT, "", line.strip())


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


def troubleshooting():
    """Title, and the rows of its table without the head, of each part of the guide that is about a title."""
    parts = re.split(r"^##+ ", (ROOT / "docs/guides/troubleshooting.md").read_text("utf-8"), flags=re.MULTILINE)
    for title, _, text in (part.partition("\n") for part in parts):
        if title.startswith("ZeroGPU "):
            rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
            yield title, rows[1:]


def platform_refusals():
    """Title, text and name in ZeroKit of each error in the guide."""
    for title, rows in troubleshooting():
        yield from ((title, row[0], re.match(r"`(\w+)`", row[3])[1]) for row in rows if len(row) == 4)


@pytest.mark.parametrize(("title", "text", "name"), list(platform_refusals()))
def test_what_the_platform_says_is_translated_as_the_guide_tells(title, text, name):
    assert type(refusals.translate(gr.Error(text, title=title))).__name__ == name


def spaces_source():
    """All that stands in the source of the installed package, as nodes."""
    package = Path(importlib.util.find_spec("spaces").origin).parent / "zero"
    for path in package.rglob("*.py"):
        yield from ast.walk(ast.parse(path.read_text("utf-8")))


def shown_titles():
    """The titles of what it shows on the page."""
    for node in spaces_source():
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("error", "info"):
            given = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "title")]
            yield from (value.value for value in given if isinstance(value, ast.Constant))


def test_every_title_of_the_platform_is_explained():
    titles = [title for title, _ in troubleshooting()]
    assert sorted(titles) == sorted(set(shown_titles()))
    assert {title for title, _, _ in platform_refusals()} < set(titles)


def test_what_the_guide_quotes_is_what_the_platform_says():
    said = {str(node.value) for node in spaces_source() if isinstance(node, ast.Constant)}
    texts = {row[0] for _, rows in troubleshooting() for row in rows} - {"RuntimeError"}
    guide = (ROOT / "docs/guides/troubleshooting.md").read_text("utf-8")
    logged = re.findall(r"^\| \*\*([^*]+)\*\* \|", guide, re.MULTILINE)
    assert len(texts) > 15
    assert len(logged) > 4
    for quote in [*texts, *logged]:
        for part in re.split(r"…|\(\d+s[^)]*\)|free ZeroGPU", quote.rstrip(".")):
            assert any(part in text for text in said), quote


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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documents as a site, built as `make docs` does it."""
    folder = tmp_path_factory.mktemp("site")
    ran = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
    return folder


def test_the_site_has_every_page_and_fetches_nothing_from_elsewhere(site):
    built = {str(path.relative_to(site).with_suffix(".md")).lower() for path in site.rglob("*.html")}
    named = {str(page.relative_to(ROOT / "docs" if "docs" in page.parts else ROOT)).lower() for page in PAGES}
    assert named - {"readme.md"} <= built
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        assert not re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(?:https?:)?//[^>]*", text), page.name
        assert not re.findall(r"<link(?![^>]*canonical)[^>]*\shref=[\"']?(?:https?:)?//[^>]*", text), page.name
    assert not list(site.rglob("*.py"))


@pytest.mark.parametrize(
    "module", [zerokit, zerokit.doctor, zerokit.emulator, zerokit.testing], ids=lambda module: module.__name__
)
def test_every_public_name_is_in_the_reference(site, module):
    pages = "\n".join(page.read_text("utf-8") for page in (site / "reference/api").glob("*.html"))
    own = [name for name, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__]
    for name in set(getattr(module, "__all__", own)) - {"__version__"}:
        home = getattr(module, name)
        assert any(f'id="{where}.{name}"' in pages for where in (module.__name__, home.__module__)), name


def test_examples_in_docstrings_are_shown_as_code(site):
    """A section that is called Example instead of Examples becomes a quotation within quotations."""
    for page in (site / "reference/api").glob("*.html"):
        assert "<blockquote" not in page.read_text("utf-8"), page.name


def test_the_page_of_the_command_line_says_what_the_commands_say():
    spec = importlib.util.spec_from_file_location("docs_cli", ROOT / "docs/cli.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.PAGE.read_text("utf-8")
    assert page == script.written(page), "run: python docs/cli.py"
    assert page.count("<!-- end -->") == len(commands())
