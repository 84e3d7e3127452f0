"""Adapters, found and checked on the CPU; nothing of them is trusted before, and nothing large is fetched."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from safetensors import safe_open

from zerokit.adapters import AdapterSpec
from zerokit.engines.adapter_files import CONFIG, MAX_BYTES, Pair, Tensor, pairs, read_config, read_header
from zerokit.engines.adapter_source import Found, locate, read_remote_header
from zerokit.engines.source import EMBEDDED, shown
from zerokit.errors import AdapterError, AdapterMismatch, RequestError, UsageError
from zerokit.requests import AdapterChoice

Kind = Literal["text", "image"]

_REPO = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


@dataclass(frozen=True)
class Adapter:
    """An adapter that was found, fetched and checked; small and picklable."""

    spec: AdapterSpec
    name: str
    kind: Kind
    path: Path
    """A folder with adapter_config.json, or the .safetensors file."""
    file: Path
    """The .safetensors file."""
    base: str | None
    """The model that it was trained on, as adapter_config.json or the card says; None: not told."""
    rank: int
    """The largest of its layers."""
    bytes: int
    """Of the file."""
    targets: tuple[str, ...]
    """The kinds of layers that it changes, such as "q_proj"."""
    sha256: str
    """Of the file, and of adapter_config.json where there is one: what makes two adapters the same."""

    def pairs(self) -> tuple[Pair, ...]:
        """Its matrices, as the header of its file says now.

        Raises:
            AdapterError: the file is no longer what was checked.
        """
        return pairs(read_header(self.file))

    def config(self) -> dict[str, Any]:
        """What its adapter_config.json says; empty where there is none."""
        return read_config(self.path / CONFIG) if self.path.is_dir() else {}


def find_adapter(
    spec: AdapterSpec,
    *,
    kind: Kind,
    token: str | None = None,
    max_bytes: int = MAX_BYTES,
    guest: Path | None = None,
) -> Adapter:
    """Find an adapter, check all that can be checked without its weights, and fetch it.

    Args:
        spec: where it is.
        kind: of the model that it is for; one for text must have an adapter_config.json.
        token: for a private or gated repository.
        max_bytes: a larger file is refused before it is fetched.
        guest: for what a visitor names: only what everybody can see on the Hub is looked at, without any token, and
            fetched into this folder.

    Raises:
        AdapterError: it is no LoRA adapter, too large, of too high a rank, damaged, or of a kind that is not
            understood.
        UnsafeWeights: its weights are pickles.
        ModelNotFound: there is no such repository, folder or file.
        GatedModel: its owner has not let this token in.
        ModelError: the Hub cannot be asked.
    """
    check_name(spec.shown)
    found = locate(spec, kind=kind, token=token, guest=guest)
    if found.bytes > max_bytes:
        raise AdapterError(
            f'"{shown(found.weights)}" of "{found.name}" has {found.bytes / 1e9:.1f} GB, and at most '
            f"{max_bytes / 1e9:.1f} GB are loaded."
        )
    if found.bytes < 10:
        raise AdapterError(f'"{shown(found.weights)}" of "{found.name}" is empty.')
    if found.config is None and kind == "text":
        raise AdapterError(f'"{found.name}" has no {CONFIG}, which says how strongly its weights act.')
    config = {} if found.config is None else read_config(found.fetch(found.config))
    if found.remote:
        pairs(read_remote_header(found, token if guest is None else False))
    file = found.fetch(found.weights)
    layers = pairs(_whole(file, found))
    return Adapter(
        spec=spec,
        name=spec.shown,
        kind=kind,
        path=file.parent if found.config is not None else file,
        file=file,
        base=_base(config, found),
        rank=max(layer.rank for layer in layers),
        bytes=found.bytes,
        targets=tuple(sorted({layer.module.rpartition(".")[2] for layer in layers})),
        sha256=_sha256([file] if found.config is None else [file, found.fetch(found.config)]),
    )


def base_of(spec: AdapterSpec, *, kind: Kind = "text", token: str | None = None) -> str | None:
    """The name of the model that an adapter was trained on, without fetching its weights; None: not told.

    Raises:
        ModelError: as for `find_adapter`.
    """
    found = locate(spec, kind=kind, token=token)
    return _base({} if found.config is None else read_config(found.fetch(found.config)), found)


def base_of_first(specs: Sequence[AdapterSpec], *, kind: Kind = "text", token: str | None = None) -> str:
    """The model that the first of some adapters was made for, where no model is named.

    Raises:
        UsageError: there is no adapter either.
        AdapterError: it does not say.
    """
    if not specs:
        raise UsageError("An engine needs a model, or an adapter that names one.")
    base = base_of(specs[0], kind=kind, token=token)
    if base is None:
        raise AdapterError(f'The adapter "{specs[0].shown}" does not say which model it is for: name the model.')
    return base


def look_up(name: str, adapters: Mapping[str, Adapter]) -> Adapter:
    """The adapter of that name.

    Raises:
        RequestError: there is none; the message names the nearest.
    """
    if name in adapters:
        return adapters[name]
    if not adapters:
        raise RequestError(f'There is no adapter "{shown(name)}": this app has none.')
    near = difflib.get_close_matches(name, adapters, n=1, cutoff=0.5)
    hint = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join([*adapters][:8])}."
    raise RequestError(f'There is no adapter "{shown(name)}". {hint}')


def check_name(name: str) -> None:
    """Raise AdapterError unless `name` can stand on a page and in a message."""
    if not name.strip() or not name.isprintable() or set(name) & set("<>"):
        raise AdapterError(f"{shown(ascii(name))} cannot be an adapter's name: give it another.")


def check_base(
    adapter: Adapter,
    base_name: str,
    shapes: Mapping[str, Sequence[int]],
    *,
    any_base: bool = False,
    layers: Sequence[Pair] | None = None,
) -> None:
    """Raise AdapterMismatch unless an adapter fits a model.

    Args:
        adapter: from `find_adapter`.
        base_name: the model, for the message and to be compared with what the adapter says.
        shapes: of the weights of the model's modules, by the module's name.
        any_base: let it be used with another model than it names, if its layers fit.
        layers: the adapter's, by the model's names; None: as its file has them.
    """
    said = said_of(adapter, base_name)
    layers = adapter.pairs() if layers is None else layers
    strange = [layer.module for layer in layers if layer.module not in shapes]
    if strange:
        raise AdapterMismatch(f"{said}, which has {len(strange)} of {len(layers)} layers not: {shown(strange[0])}.")
    for layer in layers:
        if tuple(shapes[layer.module]) != layer.shape:
            raise AdapterMismatch(
                f"{said}: {shown(layer.module)} is {list(layer.shape)} in the adapter and "
                f"{list(shapes[layer.module])} in the model."
            )
    if not any_base and _is_another(adapter.base, base_name):
        raise AdapterMismatch(f"{said}.")


def said_of(adapter: Adapter, base_name: str) -> str:
    """The beginning of a message: both names."""
    theirs = f'"{adapter.base}"' if adapter.base else "another model"
    return f'The adapter "{adapter.name}" was made for {theirs}, and the model is "{base_name}"'


class Carrier(Protocol):
    """A prepared request, as far as adapters go."""

    @property
    def away(self) -> tuple[Adapter, ...]: ...
    @property
    def extra(self) -> tuple[Adapter, ...]: ...
    @property
    def chosen(self) -> tuple[AdapterChoice, ...]: ...


def to_load(chosen: Sequence[AdapterChoice], carried: Sequence[Adapter]) -> float:
    """How much a call may have to load first: 1 for each adapter, and 1 for each 100 MB.

    Args:
        chosen: that act in the call.
        carried: those that may not be loaded where it runs.
    """
    wanted = {choice.name for choice in chosen}
    return sum(1 + adapter.bytes / 1e8 for adapter in carried if adapter.name in wanted)


def to_load_of_all(prepared: Sequence[Carrier]) -> float:
    """The same of several requests in one call: each adapter once."""
    carried = {adapter.sha256: adapter for one in prepared for adapter in (*one.away, *one.extra)}
    return to_load([choice for one in prepared for choice in one.chosen], [*carried.values()])


def check_numbers(adapter: Adapter) -> None:
    """Raise AdapterError unless all of an adapter's weights are finite; they are read for it, one by one."""
    with safe_open(adapter.file, "pt") as file:
        for pair in adapter.pairs():
            for key in (pair.down, pair.up):
                if not file.get_tensor(key).float().isfinite().all():
                    raise AdapterError(f'The adapter "{adapter.name}" has weights that are not finite.')


def _is_another(theirs: str | None, ours: str) -> bool:
    """Whether two names are of different models, as far as names tell: only two of repositories are compared."""
    if theirs is None or not _REPO.fullmatch(theirs) or not _REPO.fullmatch(ours):
        return False
    return _stem(theirs) != _stem(ours)


def _stem(repo: str) -> str:
    """A repository's name without its owner, and without how its weights are stored."""
    name = repo.rpartition("/")[2].lower()
    return re.sub(r"[-_.](bnb|unsloth|4bit|8bit|int[48]|gptq|awq|fp16|bf16|fp8|hf|mirror|\d)(?=$|[-_.])", "", name)


def _base(config: Mapping[str, Any], found: Found) -> str | None:
    for name in (config.get("base_model_name_or_path"), found.base):
        if isinstance(name, str) and (name == EMBEDDED or _REPO.fullmatch(name)):
            return name
    return None


def _whole(file: Path, found: Found) -> dict[str, Tensor]:
    """The header of a file that was fetched, if it is the one that was looked at before."""
    if file.stat().st_size != found.bytes:
        raise AdapterError(f'"{shown(file.name)}" was not fetched whole. Try again.')
    return read_header(file)


def _sha256(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            while part := opened.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()


class Shelf:
    """An engine's adapters by name, and which of them are loaded in this process.

    Each that is loaded has an internal name ("a0", "a1", ...), for names of people may not be attributes of modules.

    Args:
        adapters: found and checked.
        room: how many that are not kept may be loaded at a time.

    Raises:
        UsageError: two have the same name.
    """

    def __init__(self, adapters: Iterable[Adapter], *, room: int = 8) -> None:
        self._by_name: dict[str, Adapter] = {}
        for adapter in adapters:
            self.add(adapter)
        self._room = room
        self._kept: dict[str, str] = {}
        self._loaded: OrderedDict[str, str] = OrderedDict()
        self._count = 0

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """In the order in which they were added."""
        return tuple(self._by_name.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def add(self, adapter: Adapter) -> None:
        """Put one more on the shelf.

        Raises:
            UsageError: there is one of that name.
        """
        if adapter.name in self._by_name:
            raise UsageError(f'Two adapters are called "{adapter.name}": give one of them another name.')
        # Another dictionary, for threads may be reading this one.
        self._by_name = {**self._by_name, adapter.name: adapter}

    def keeps(self, adapter: Adapter) -> bool:
        """Whether it stays loaded in this process and in all that are forked from it."""
        return adapter.sha256 in self._kept

    def get(self, name: str) -> Adapter:
        """The adapter of that name.

        Raises:
            RequestError: there is none; the message names the nearest.
        """
        return look_up(name, self._by_name)

    def bring(self, names: Sequence[str], extra: Sequence[Adapter]) -> tuple[tuple[Adapter, ...], tuple[Adapter, ...]]:
        """What a call that names these must carry: those that may not be loaded where it runs, and those of `extra`.

        Raises:
            RequestError: there is no adapter of a name.
        """
        brought = {adapter.name: adapter for adapter in extra}
        ours = [self.get(name) for name in names if name not in brought]
        away = tuple(adapter for adapter in ours if not self.keeps(adapter))
        return away, tuple(brought[name] for name in names if name in brought)

    def keep(self, adapter: Adapter, load: Callable[[Adapter, str], None]) -> None:
        """Load an adapter that stays loaded."""
        if adapter.sha256 not in self._kept:
            self._kept[adapter.sha256] = self._load(adapter, load)

    def need(
        self,
        adapters: Sequence[Adapter],
        load: Callable[[Adapter, str], None],
        drop: Callable[[str], None],
    ) -> dict[str, str]:
        """Have `adapters` loaded, and drop what was used longest ago where they are too many.

        Args:
            adapters: what a call needs.
            load: loads one under an internal name; where it fails, it leaves nothing behind.
            drop: removes what has an internal name.

        Returns:
            The internal names, by the adapters' sha256.
        """
        wanted = {adapter.sha256: adapter for adapter in adapters}
        for sha256, adapter in wanted.items():
            if sha256 in self._kept:
                continue
            if sha256 not in self._loaded:
                self._make_room(wanted.keys(), drop)
                self._loaded[sha256] = self._load(adapter, load)
            self._loaded.move_to_end(sha256)
        return {sha256: self._kept.get(sha256) or self._loaded[sha256] for sha256 in wanted}

    def forget(self, adapters: Iterable[Adapter], drop: Callable[[str], None]) -> None:
        """Drop those of `adapters` that are loaded and not kept."""
        for adapter in adapters:
            internal = self._loaded.pop(adapter.sha256, None)
            if internal is not None:
                drop(internal)

    def _make_room(self, wanted: Iterable[str], drop: Callable[[str], None]) -> None:
        wanted = set(wanted)
        while len(self._loaded) >= self._room:
            oldest = next((sha256 for sha256 in self._loaded if sha256 not in wanted), None)
            if oldest is None:
                return
            drop(self._loaded.pop(oldest))

    def _load(self, adapter: Adapter, load: Callable[[Adapter, str], None]) -> str:
        internal = f"a{self._count}"
        self._count += 1
        load(adapter, internal)
        return internal
