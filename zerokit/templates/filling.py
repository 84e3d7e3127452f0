"""A template's files in a folder of their own, with the model and the title that an author wants."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

from huggingface_hub import metadata_load, metadata_save

from zerokit.engines.source import EMBEDDED
from zerokit.errors import RequestError, UsageError

from . import bundle
from .catalogue import folder
from .choosing import Choice, Model

MAX_TITLE_CHARACTERS = 60
_MODEL = re.compile(r'(?<=os\.environ\.get\("ZEROKIT_MODEL", ")[^"]+(?="\))')
_ADAPTERS = re.compile(r"^ADAPTERS = \[\n.*?^\]\n", re.MULTILINE | re.DOTALL)
_OF_IMAGE_MODEL = re.compile(r"^ +\w+=.*,  # for this model\n", re.MULTILINE)
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>#&$|~]")
_TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Signs that change the order in which others are shown."""


def create(choice: Choice, to: Path, *, title: str | None = None, bundled: bool = False) -> list[Path]:
    """Write a Space, and nothing over what is there.

    Args:
        choice: the template and its model.
        to: a folder that is empty or not there yet.
        title: of the Space; None: the template's.
        bundled: put ZeroKit itself into the folder, instead of asking for it in requirements.txt.

    Returns:
        The template's files, in the order of their names.

    Raises:
        RequestError: the title cannot be one.
        UsageError: the folder cannot be written to, or is not empty.
    """
    wanted = None if title is None else checked_title(title)
    files = {file.name: file.read_bytes() for file in folder(choice.template.name).iterdir() if file.is_file()}
    card = metadata_load(folder(choice.template.name) / "README.md") or {}
    app, readme = files["app.py"].decode(), files["README.md"].decode()
    if choice.model is not None:
        app, readme = _with_model(choice, choice.model, app, readme, card)
    if wanted is not None:
        app = _with_title(app, card["title"], wanted)
        card["title"] = wanted
    files |= {"app.py": app.encode(), "README.md": readme.encode()}
    if bundled:
        files["requirements.txt"] = bundle.requirements(files["requirements.txt"].decode()).encode()
    _write(to, files | (bundle.files() if bundled else {}))
    metadata_save(to / "README.md", card)
    return [to / name for name in sorted(files)]


def checked_title(title: str) -> str:
    """A title on one line.

    Raises:
        RequestError: it is empty, too long, or has signs that cannot be shown.
    """
    line = " ".join(title.split())
    if not line:
        raise RequestError("The title is empty.")
    if len(line) > MAX_TITLE_CHARACTERS:
        raise RequestError(f"The title has {len(line)} characters; it may have {MAX_TITLE_CHARACTERS}.")
    hidden = [sign for sign in line if unicodedata.category(sign) in ("Cc", "Cs") or sign in _TURNING]
    if hidden:
        raise RequestError(f"The title has a sign in it that cannot be shown: {hidden[0]!a}.")
    return line


def _with_model(choice: Choice, model: Model, app: str, readme: str, card: dict[str, Any]) -> tuple[str, str]:
    """The app and the text below the card with the model in them; the card's models become its own."""
    place = choice.template.forms.index(model.form)
    whole = model.base or model.name
    own = _MODEL.findall(app)[place]
    app = app.replace(f'"ZEROKIT_MODEL", "{own}"', f'"ZEROKIT_MODEL", "{whole}"', 1)
    if model.base is not None:
        app = _ADAPTERS.sub(f'ADAPTERS = [AdapterSpec("{model.name}")]\n', app)
        card["models"] = []
    elif model.form == "image" and whole != own:
        app = _OF_IMAGE_MODEL.sub("", app)
    others = [name for name in card["models"] if name != own]
    named = [name for name in (whole, model.name) if name != EMBEDDED]
    card["models"] = list(dict.fromkeys([*named, *others]))
    if not card["models"]:
        del card["models"]
    return app, readme.replace(_link(own), _link(whole))


def _link(model: str) -> str:
    if model == EMBEDDED:
        return "the small model that comes with ZeroKit"
    return f"[{model}](https://huggingface.co/{model})"


def _with_title(app: str, own: str, title: str) -> str:
    """The app with the title, and with the same as a heading where it writes one."""
    app = app.replace(f'title="{own}"', f"title={_literal(title)}", 1)
    heading = _literal(_MARKDOWN.sub(r"\\\g<0>", title))[1:-1]
    return re.sub(rf'"# {re.escape(own)}(?=["\\])', lambda _: f'"# {heading}', app)


def _literal(text: str) -> str:
    """`text` as Python writes it between double quotes, which for text without control characters is JSON's way."""
    return json.dumps(text, ensure_ascii=False)


def _write(to: Path, files: dict[str, bytes]) -> None:
    if to.exists() and not to.is_dir():
        raise UsageError(f"{to} is a file. Choose the name of a new folder.")
    try:
        to.mkdir(parents=True, exist_ok=True)
        there = sorted(file.name for file in to.iterdir())
        if there:
            some = ", ".join(there[:3])
            raise UsageError(f"{to} is not empty ({some}). Nothing was written: choose a new folder.")
        for name, content in files.items():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            with (to / name).open("xb") as file:
                file.write(content)
    except OSError as exc:
        raise UsageError(f"{to} cannot be written to: {exc.strerror or type(exc).__name__}.") from exc
