"""Adapters that visitors bring: checked on the CPU, each in a folder of its own, and removed afterwards."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zerokit.adapters import MAX_NAME_CHARACTERS, AdapterSpec
from zerokit.engines.adapter_files import CONFIG
from zerokit.engines.shelf import Adapter, check_numbers
from zerokit.engines.source import shown
from zerokit.errors import AdapterError, GatedModel, ModelError, ModelNotFound, NoRoom, RequestError
from zerokit.requests import AdapterChoice

MAX_OWN = 3
"""Adapters that a visitor may have at a time."""
MAX_OWN_BYTES = 500_000_000
"""Of one of them."""
SPARE_BYTES = 1_000_000_000
"""What must stay free on the disk."""

_REPO = re.compile(r"(?:https://(?:huggingface\.co|hf\.co)/)?([\w.-]+/[\w.-]+)(?:/([\w./ -]+\.\w+))?")
"""A repository, and perhaps a file in it."""
_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class Guest:
    """An adapter of a visitor, and the folder that goes with it."""

    adapter: Adapter
    folder: Path


class Guests:
    """Takes in what visitors bring; nothing of it is kept here.

    Args:
        engine: whose model the adapters must fit: a `TextEngine` or an `ImageEngine`.
    """

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def from_hub(self, named: Any, own: Sequence[Guest] = ()) -> Guest:
        """An adapter that everybody can see on the Hub, fetched without any token of this app.

        Args:
            named: "owner/name", or "owner/name/file.safetensors".
            own: what this visitor has already.

        Raises:
            RequestError: it cannot be the name of one, or the visitor has enough.
            ModelError: it cannot be used; a subclass where the reason is a common one.
        """
        repo, file = _repository(named)
        spec = AdapterSpec(repo, name=self._free_name(repo, own), weight_name=file)
        with _new_folder(own) as folder:
            try:
                adapter = self.engine.find_adapter(spec, max_bytes=MAX_OWN_BYTES, guest=folder)
            except GatedModel as exc:
                raise AdapterError(f'"{repo}" is gated: only what everybody can fetch can be used here.') from exc
            except ModelNotFound as exc:
                raise AdapterError(f'There is no "{repo}" on the Hub that everybody can see.') from exc
            except NoRoom as exc:
                raise _no_room() from exc
            except ModelError as exc:
                if type(exc) is not ModelError:
                    raise
                raise AdapterError(f'"{repo}" could not be fetched from the Hub now: try again later.') from exc
            check_numbers(adapter)
            return Guest(adapter, folder)

    def from_files(self, sent: Iterable[str | Path], own: Sequence[Guest] = ()) -> Guest:
        """An adapter that was uploaded: a .safetensors file, with its adapter_config.json where it has one.

        Args:
            sent: paths of the files, which are moved away from there.
            own: what this visitor has already.

        Raises:
            RequestError: they are not those files, or the visitor has enough.
            ModelError: the adapter cannot be used; a subclass where the reason is a common one.
        """
        weights, config = _pair([Path(file) for file in sent])
        name = self._free_name(re.sub(r"[^\w .-]", "-", weights.stem) or "adapter", own)
        with _new_folder(own) as folder:
            _move(weights, folder / _WEIGHTS)
            if config is not None:
                _move(config, folder / CONFIG)
            source = folder if config is not None else folder / _WEIGHTS
            adapter = self.engine.find_adapter(AdapterSpec(source, name=name), max_bytes=MAX_OWN_BYTES)
            check_numbers(adapter)
            return Guest(adapter, folder)

    @contextmanager
    def brought(self, named: Any) -> Iterator[list[Guest]]:
        """The repositories among the adapters that a program names, for as long as the block runs.

        Raises:
            RequestError: they are too many.
            ModelError: one cannot be used.
        """
        ours = {adapter.name for adapter in self.engine.adapters}
        guests: list[Guest] = []
        try:
            for name in _names(named):
                if name not in ours and _REPO.fullmatch(name):
                    guest = self.from_hub(name, guests)
                    guests.append(replace(guest, adapter=replace(guest.adapter, name=name)))
            yield guests
        finally:
            forget(guests)

    def _free_name(self, name: str, own: Sequence[Guest]) -> str:
        """`name`, or one like it that no adapter here has."""
        taken = {adapter.name for adapter in (*self.engine.adapters, *(guest.adapter for guest in own))}
        short = name[-MAX_NAME_CHARACTERS:]
        for number in range(2, len(taken) + 3):
            if short not in taken:
                break
            short = f"{name[-MAX_NAME_CHARACTERS + 4 :]} {number}"
        return short


def forget(guests: Any) -> None:
    """Remove what was brought, its files too."""
    for guest in guests or ():
        shutil.rmtree(guest.folder, ignore_errors=True)


@contextmanager
def _new_folder(own: Sequence[Guest]) -> Iterator[Path]:
    """A folder for one adapter; where the block fails, it is gone.

    Raises:
        RequestError: the visitor has enough already.
        AdapterError: there is no room on the disk.
    """
    if len(own) >= MAX_OWN:
        raise RequestError(f"You have {len(own)} adapters of your own here, and at most {MAX_OWN}: remove one first.")
    try:
        folder = Path(tempfile.mkdtemp(prefix="zerokit-adapter-"))
    except OSError as exc:
        raise _no_room() from exc
    try:
        if shutil.disk_usage(folder).free < MAX_OWN_BYTES + SPARE_BYTES:
            raise _no_room()
        yield folder
    except BaseException as exc:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(exc, OSError):
            raise _no_room() from exc
        raise


def _no_room() -> AdapterError:
    return AdapterError("This Space has no room on its disk for an adapter of yours now. Try again later.")


def _repository(named: Any) -> tuple[str, str | None]:
    if not isinstance(named, str) or not named.strip():
        raise RequestError('Name a repository on the Hub, such as "owner/name".')
    match = _REPO.fullmatch(named.strip().rstrip("/"))
    if match is None or len(named) > 300:
        raise RequestError(f'"{shown(ascii(named)[1:-1])}" is no repository of the Hub: write "owner/name".')
    return match[1], match[2]


def _pair(files: Sequence[Path]) -> tuple[Path, Path | None]:
    """The weights and the config among the files that were sent."""
    weights = [file for file in files if file.suffix == ".safetensors"]
    configs = [file for file in files if file.suffix == ".json"]
    if len(weights) != 1 or len(configs) > 1 or len(files) > 2 or len(files) != len(weights) + len(configs):
        raise RequestError("Upload one .safetensors file, with its adapter_config.json where it has one.")
    return weights[0], configs[0] if configs else None


def _move(file: Path, to: Path) -> None:
    try:
        shutil.move(file, to)
    except FileNotFoundError as exc:
        raise RequestError(f"{shown(file.name)} is no longer there: upload it again.") from exc


def _names(named: Any) -> list[str]:
    given = named if isinstance(named, list | tuple | Mapping) else [named]
    names = [one.name if isinstance(one, AdapterChoice) else one for one in given]
    return [name for name in names if isinstance(name, str)]
