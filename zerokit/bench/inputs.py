"""What is asked of a Space: an endpoint of its API and the values for it, given or found in the app's own schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import UsageError

TEXT = "What is ZeroGPU?"
"""For a text that has no default."""
LARGEST_FILE_BYTES = 16_000_000
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of an app, as its schema tells of it."""

    name: str
    parameters: Sequence[Mapping[str, Any]]

    @property
    def names(self) -> list[str]:
        return [str(parameter["parameter_name"]) for parameter in self.parameters]

    def filled(self) -> Values | None:
        """Values for all that has no default; None: something is wanted that cannot be made up, as a file."""
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.get("parameter_has_default"):
                continue
            made = _made_up(parameter)
            if made is None:
                return None
            values[str(parameter["parameter_name"])] = made
        return values

    def check(self, values: Values) -> None:
        """Refuse values that the endpoint does not take, or too few.

        Raises:
            UsageError: the message names what is wrong.
        """
        for name in values:
            if name not in self.names:
                near = get_close_matches(name, self.names, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise UsageError(f"{self.name} takes {_listed(self.names)}, not {name[:80]!r}.{hint}")
        needed = [p["parameter_name"] for p in self.parameters if not p.get("parameter_has_default")]
        missing = [name for name in needed if name not in values]
        if missing:
            raise UsageError(f"{self.name} also needs {_listed(missing)}: give it in --input.")


def endpoints(schema: Mapping[str, Any]) -> list[Endpoint]:
    """The named endpoints of an app's schema (`gradio_client.Client.view_api`)."""
    named = schema.get("named_endpoints", {})
    return [Endpoint(name, facts["parameters"]) for name, facts in named.items()]


def chosen(found: Sequence[Endpoint], name: str) -> Endpoint:
    """The endpoint of that name.

    Raises:
        UsageError: there is none; the message has the nearest.
    """
    name = f"/{name.lstrip('/')}"
    for endpoint in found:
        if endpoint.name == name:
            return endpoint
    names = [endpoint.name for endpoint in found]
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"The app has no endpoint {name[:80]!r}, but {_listed(names) or 'none'}.{hint}")


def candidates(found: Sequence[Endpoint]) -> Iterator[tuple[Endpoint, Values]]:
    """Endpoints that can be called with what their schema says, those that want something first."""
    for endpoint in sorted(found, key=lambda one: not one.parameters):
        values = endpoint.filled()
        if values is not None:
            yield endpoint, values


def read(texts: Sequence[str], file: Path | None) -> list[Values]:
    """The inputs of `--input` and `--inputs`, each a JSON object of an endpoint's values.

    Raises:
        UsageError: one is not such an object, or the file cannot be read.
    """
    parsed = [_parsed(text, f"--input {text[:80]!r}") for text in texts]
    if file is None:
        return parsed
    try:
        with file.open("rb") as opened:
            raw = opened.read(LARGEST_FILE_BYTES + 1)
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{file} cannot be read ({exc}).") from exc
    if len(raw) > LARGEST_FILE_BYTES:
        raise UsageError(f"{file} is larger than {LARGEST_FILE_BYTES // 1_000_000} MB.")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise UsageError(f"{file} is empty: it has one JSON object a line.")
    return parsed + [_parsed(line, f"{file}, line {number}") for number, line in lines]


def _parsed(text: str, where: str) -> Values:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise UsageError(f"{where} is not JSON ({exc}).") from exc
    if not isinstance(values, dict):
        raise UsageError(f'{where} is no JSON object, like {{"message": "{TEXT}"}}.')
    return values


def _made_up(parameter: Mapping[str, Any]) -> Any:
    """A value for a parameter without a default; None: there is none."""
    kind = str(parameter.get("python_type", {}).get("type", ""))
    example = parameter.get("example_input")
    if kind == "str":
        return TEXT
    return example if isinstance(example, bool | int | float | str | list) else None


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(map(str, names))
