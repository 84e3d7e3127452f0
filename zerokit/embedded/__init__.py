"""Small trained models that ship in the package, so that an app answers at once and without a download.

The recipes that made them ship too: `python -m zerokit.embedded.chat` trains the chat model again, and
`python -m zerokit.embedded.adapters` its adapters.
"""

from __future__ import annotations

import difflib
from pathlib import Path

_MODELS = Path(__file__).parent / "models"


def names() -> tuple[str, ...]:
    """The names of the models in this package, in alphabetical order."""
    return _names_in(_MODELS)


def adapter_names() -> tuple[str, ...]:
    """The names of the adapters in this package, in alphabetical order; each begins with its model's: "chat-..."."""
    return _names_in(_MODELS / "adapters")


def _names_in(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(card.parent.name for card in folder.glob("*/README.md")))


def path(name: str) -> Path:
    """Return the folder of an embedded model or adapter, to be loaded like any of the Hub.

    Args:
        name: what the model does, for example `"chat"`, or the name of an adapter, for example `"chat-pirate"`.

    Raises:
        ValueError: there is no embedded model or adapter of this name.

    Examples:
        >>> path("chat").name
        'chat'
    """
    if name in names():
        return _MODELS / name
    if name in adapter_names():
        return _MODELS / "adapters" / name
    known = (*names(), *adapter_names())
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"There is: {', '.join(map(repr, known)) or 'none'}."
    raise ValueError(f"No embedded model or adapter is called {name!r}. {hint}")
