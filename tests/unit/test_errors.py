"""The error tree is what it is drawn as, and every error says what to do."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from zerokit import errors

CLASSES = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, Exception)]


def drawn() -> dict[str, str]:
    """Each class of the drawing with the one it stands under."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ((?:[│ ]   |[├└]── )*)([A-Z]\w+)", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else "Exception"
    return parents


def test_the_tree_is_drawn_as_it_is():
    assert drawn() == {kind.__name__: kind.__mro__[1].__name__ for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_travels_and_speaks(kind):
    error = kind("It took 5 s.")
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is kind
    assert there.message == error.message == "It took 5 s."
    assert str(there) == f"It took 5 s. {kind.advice}".strip()
    assert kind.title
    assert kind.title[0].isupper()
    assert not kind.title.endswith(".")
    assert kind.advice == "" or kind.advice.endswith(".")
