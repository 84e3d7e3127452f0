"""`zerokit new`: a template copied as it is or filled in, and nothing overwritten. Models are in test_new_models."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from pathlib import Path

import pytest
from huggingface_hub import metadata_load
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement

import zerokit
from zerokit import cli, templates
from zerokit.errors import RequestError, UsageError
from zerokit.templates import TEMPLATES, Choice, choose, create
from zerokit.templates.choosing import Model
from zerokit.templates.filling import checked_title

ODD_TITLES = [
    'Tom & "Jerry"',
    "it's: a {dict: of} [things], #1",
    "<script>alert('hi')</script>",
    "- yes",
    "null",
    "3.10",
    "2026-11-26",
    "@at `tick` %percent !bang |pipe >more ? *star &amp",
    'back\\slash \\n "quoted\\"',
    "小さな部屋 🎨 👩‍🚀 naïve",
    "{title} %s $x$ ${y}",
    "# heading",
    "--- ---",
]
every_template = pytest.mark.parametrize("name", TEMPLATES)


def run(capsys, *args):
    """The command's exit code, stdout and stderr."""
    try:
        cli.main(["new", *map(str, args)])
        code = 0
    except SystemExit as exc:
        code = exc.code or 0
    said = capsys.readouterr()
    return code, said.out, " ".join(said.err.split())


def strings(app):
    """All string literals of a program."""
    return [
        node.value for node in ast.walk(ast.parse(app)) if isinstance(node, ast.Constant) and type(node.value) is str
    ]


def titles(app):
    return [
        node.value.value
        for node in ast.walk(ast.parse(app))
        if isinstance(node, ast.keyword) and node.arg == "title" and isinstance(node.value, ast.Constant)
    ]


@every_template
def test_a_template_is_copied_as_it_is(name, tmp_path):
    files = create(choose(name, None), tmp_path / "deep" / "space")
    assert [file.name for file in files] == ["README.md", "app.py", "requirements.txt"]
    for file in files:
        assert file.read_bytes() == (templates.folder(name) / file.name).read_bytes()


@every_template
def test_a_template_is_what_a_space_must_be(name):
    folder = templates.folder(name)
    app = (folder / "app.py").read_text("utf-8")
    card = metadata_load(folder / "README.md")
    assert len(app.splitlines()) <= 60
    assert app.count(f'title="{card["title"]}"') == 1
    assert (card["sdk"], card["python_version"], card["app_file"]) == ("gradio", "3.12", "app.py")
    assert re.fullmatch(r"\d+\.\d+\.\d+", card["sdk_version"])
    assert (card["hf_oauth"], card["hf_oauth_scopes"]) == (True, ["read-billing"])
    assert card["suggested_hardware"] == "zero-a10g"
    assert len(card["short_description"]) <= 60
    assert {"license", "tags", "emoji", "colorFrom", "colorTo"} <= card.keys()
    assert card["models"] == [text for text in strings(app) if re.fullmatch(r"[\w.-]+/[\w.-]+", text)]


@every_template
def test_requirements_pin_torch_as_zerogpu_has_it_and_never_spaces(name):
    lines = (templates.folder(name) / "requirements.txt").read_text().splitlines()
    wanted = {one.name: one for one in map(Requirement, (line for line in lines if not line.startswith("#")))}
    assert str(wanted["torch"].specifier) == "==2.11.0"
    assert wanted["zerokit"].specifier.contains(zerokit.__version__)
    assert not {"spaces", "gradio"} & wanted.keys()


@pytest.mark.parametrize(
    ("name", "title"), [*itertools.product(("chat", "batch"), ODD_TITLES), *zip(TEMPLATES, TEMPLATES, strict=True)]
)
def test_a_title_comes_out_as_it_went_in(name, title, tmp_path):
    create(choose(name, None), tmp_path / "space", title=title)
    card = metadata_load(tmp_path / "space" / "README.md")
    app = (tmp_path / "space" / "app.py").read_text("utf-8")
    own = metadata_load(templates.folder(name) / "README.md")["title"]
    assert card["title"] == title
    assert titles(app).count(title) == 1
    assert own not in titles(app)
    headings = [text.partition("\n")[0] for text in strings(app) if text.startswith("# ") and text != title]
    assert [re.sub(r"\\([^\w\s])", r"\1", heading) for heading in headings] == [f"# {title}"] * len(headings)
    assert not any(re.search(r"(?<!\\)[<>&`*$]", heading) for heading in headings)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=70))
def test_any_title_is_written_so_that_it_is_read_the_same_or_is_refused(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("any") / "space"
    try:
        create(choose("batch", None), folder, title=text)
    except RequestError:
        assert not folder.exists()
        return
    shown = " ".join(text.split())
    assert metadata_load(folder / "README.md")["title"] == shown
    assert shown in titles((folder / "app.py").read_text("utf-8"))


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("", "is empty"),
        (" \n\t ", "is empty"),
        ("x" * 61, "has 61 characters; it may have 60"),
        ("a\x00b", "cannot be shown: '\\x00'"),
        ("a\x1b[31mb", "cannot be shown"),
        ("a\ud800b", "cannot be shown"),
        ("a\u202eb", "cannot be shown: '\\u202e'"),
    ],
)
def test_a_title_that_cannot_be_one_is_refused(title, said):
    with pytest.raises(RequestError) as refused:
        checked_title(title)
    assert said in refused.value.message


def test_a_title_on_several_lines_becomes_one():
    assert checked_title(" My\r\n  Space\u2028here ") == "My Space here"


def filled(tmp_path, template, model):
    create(Choice(TEMPLATES[template], model), tmp_path / "space")
    app = (tmp_path / "space" / "app.py").read_text("utf-8")
    ast.parse(app)
    return app, metadata_load(tmp_path / "space" / "README.md"), (tmp_path / "space" / "README.md").read_text("utf-8")


def test_a_chat_model_is_filled_in(tmp_path):
    app, card, readme = filled(tmp_path, "chat", Model("me/talker-1.5", "text"))
    assert 'MODEL = os.environ.get("ZEROKIT_MODEL", "me/talker-1.5")' in app
    assert card["models"] == ["me/talker-1.5"]
    assert "[me/talker-1.5](https://huggingface.co/me/talker-1.5)" in readme
    assert "Qwen" not in app + readme


def test_what_only_suits_the_templates_own_model_goes_with_it(tmp_path):
    app, card, readme = filled(tmp_path, "diffusion", Model("me/turbo", "image"))
    assert card["models"] == ["me/turbo"]
    assert "steps" not in app
    assert "stable-diffusion" not in app + readme


def test_the_templates_own_model_changes_nothing(tmp_path):
    app, *_ = filled(tmp_path, "diffusion", Model("stabilityai/stable-diffusion-xl-base-1.0", "image"))
    assert app == (templates.folder("diffusion") / "app.py").read_text("utf-8")


@pytest.mark.parametrize(("template", "form"), [("lora-chat", "text"), ("lora-diffusion", "image")])
def test_an_adapter_brings_its_base(template, form, tmp_path):
    app, card, _ = filled(tmp_path, template, Model("me/pirate", form, base="them/base"))
    assert 'MODEL = os.environ.get("ZEROKIT_MODEL", "them/base")\nADAPTERS = [AdapterSpec("me/pirate")]\n' in app
    assert card["models"] == ["them/base", "me/pirate"]
    assert "embedded:" in app


def test_the_studio_takes_a_model_for_the_tab_of_its_kind(tmp_path):
    app, card, readme = filled(tmp_path, "studio", Model("me/turbo", "image"))
    assert 'IMAGE_MODEL = os.environ.get("ZEROKIT_MODEL", "me/turbo")' in app
    assert 'CHAT_MODEL = os.environ.get("ZEROKIT_MODEL", "Qwen/Qwen3-4B-Instruct-2507")' in app
    assert card["models"] == ["me/turbo", "Qwen/Qwen3-4B-Instruct-2507"]
    assert "[me/turbo]" in readme


def test_the_embedded_model_is_in_no_card(tmp_path):
    app, card, readme = filled(tmp_path, "chat", choose("chat", "embedded").model)
    assert '"ZEROKIT_MODEL", "embedded"' in app
    assert "models" not in card
    assert "the small model that comes with ZeroKit" in readme


@every_template
def test_nothing_is_overwritten(name, tmp_path):
    mine = tmp_path / "space" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty \(notes\.txt\)\. Nothing was written"):
        create(choose(name, None), mine.parent)
    assert [file.name for file in mine.parent.iterdir()] == ["notes.txt"]
    with pytest.raises(UsageError, match=r"notes\.txt is a file"):
        create(choose(name, None), mine)
    with pytest.raises(UsageError, match="cannot be written to: Not a directory"):
        create(choose(name, None), mine / "below")
    assert mine.read_text() == "mine"


def test_an_empty_folder_that_is_there_is_used(tmp_path):
    assert len(create(choose("chat", None), tmp_path)) == 3


def test_the_command_says_what_it_made_and_what_comes_next(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "chat", "my space", "--title", "Ours")
    assert (code, err) == (0, "")
    assert out.startswith("my space: a chat with one model (README.md, app.py, requirements.txt)\n")
    commands = [shlex.split(line, comments=True) for line in out.partition("Next:\n")[2].splitlines()]
    assert [command[:4] for command in commands] == [
        ["ZEROKIT_MODEL=embedded", "zerokit", "dev", "my space/app.py"],
        ["zerokit", "doctor", "my space"],
        ["zerokit", "deploy", "my space", "--space"],
    ]
    assert metadata_load(tmp_path / "my space" / "README.md")["title"] == "Ours"


@pytest.mark.parametrize(
    ("args", "title", "said"),
    [
        (["chta", "x"], "This cannot work", "it is one of chat, diffusion, lora-chat, lora-diffusion, gpu-function, "),
        (["chta", "x"], "This cannot work", "Did you mean 'chat'?"),
        (["../chat", "x"], "This cannot work", "There is no template '../chat'"),
        (["chat"], "This cannot work", "Say where to: zerokit new chat my-space"),
        (["auto"], "This cannot work", "Say where to: zerokit new auto my-space"),
        (["my-space"], "This cannot work", "Say which template: zerokit new chat my-space"),
        (["auto", "x"], "This cannot work", "Without a template a model must be named"),
        (["auto", "x", "--model", "embedded"], "This cannot work", "Nothing tells which template is meant"),
        (["lora-chat", "x", "--model", "embedded"], "This cannot work", "lora-chat takes an adapter with --model"),
        (["chat", "x", "--title", " "], "Please check your input", "The title is empty."),
        (["chat", "x", "--model", "."], "This cannot work", "A Space loads its model from the Hub"),
        (["chat", "x", "--model", "~/models/mine"], "This cannot work", "A Space loads its model from the Hub"),
        (["chat", "x", "--model", ""], "This cannot work", "A model is a repository's name"),
        (["chat", "x", "--model", "https://huggingface.co/me/it"], "No such model", 'Give its name: "me/it"'),
        (["chat", "x", "--model", "no good name"], "No such model", "cannot be a repository's name"),
    ],
)
def test_an_error_says_what_happened_and_leaves_nothing(capsys, tmp_path, monkeypatch, args, title, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *args)
    assert (code, out) == (1, "")
    assert err.startswith(title)
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_zerokit_itself_is_bundled_with_what_it_needs(capsys, tmp_path):
    code, out, _ = run(capsys, "gpu-function", tmp_path / "space", "--bundle")
    assert code == 0
    assert "(README.md, app.py, requirements.txt, zerokit/)" in out
    package = Path(zerokit.__file__).parent
    for name in ("__init__.py", "quota/platform.toml", "blocks/chat.py", "embedded/models/chat/model.safetensors"):
        assert (tmp_path / "space" / "zerokit" / name).read_bytes() == (package / name).read_bytes()
    left_out = [*(tmp_path / "space").rglob("*.pyc"), tmp_path / "space/zerokit/templates/apps"]
    assert not any(file.exists() for file in left_out)
    lines = (tmp_path / "space" / "requirements.txt").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    names = [one.name for one in wanted]
    assert len(names) == len(set(names))
    assert {"torch", "transformers", "diffusers", "peft", "accelerate", "safetensors"} <= set(names)
    assert not {"zerokit", "spaces", "gradio", "pytest"} & set(names)
    assert str(wanted[0]) == "torch==2.11.0"


def test_the_wheel_holds_the_templates_where_the_package_looks_for_them():
    project = (templates.folder("chat").parents[1] / "pyproject.toml").read_text("utf-8")
    assert '[tool.hatch.build.targets.wheel.force-include]\n"apps" = "zerokit/templates/apps"\n' in project
    assert {folder.name for folder in templates.folder("chat").parent.iterdir()} == set(TEMPLATES)
