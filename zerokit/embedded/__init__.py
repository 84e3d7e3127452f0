"""Small trained models that ship in the package, so that an app answers at once and without a download.

The recipes that made them ship too: `python -m zerokit.embedded.chat` trains the chat model again.
"""

from __future__ import annotations

import difflib
from pathlib import Path

_MODELS = Path(__file__).parent / "models"


def names() -> tuple[str, ...]:
    """The names of the models in this package, in alphabetical order."""
    return tuple(sorted(folder.name for folder in _MODELS.iterdir() if (folder / "README.md").is_file()))


def path(name: str) -> Path:
    """Return the folder of an embedded model, to be loaded with `from_pretrained` like any model of the Hub.

    Args:
        name: what the model does, for example `"chat"`.

    Raises:
        ValueError: there is no embedded model of this name.

    Example:
        >>> path("chat").name
        'chat'
    """
    known = names()
    if name in known:
        return _MODELS / name
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"There is: {', '.join(map(repr, known)) or 'none'}."
    raise ValueError(f"No embedded model is called {name!r}. {hint}")
