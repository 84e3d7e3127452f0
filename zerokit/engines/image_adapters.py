"""Adapters in the layers of an image model: loaded beside the base, and set anew for every call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from zerokit.engines.image_prompts import PreparedImage
from zerokit.engines.lora_conversion import Part, convert
from zerokit.engines.lora_layers import LoraLayers, Weights
from zerokit.engines.shelf import Adapter, Shelf, check_base, said_of
from zerokit.errors import AdapterError, AdapterMismatch

RESIDENT = 16
"""Adapters that are loaded beside the base when the engine starts, and so travel with its weights."""
RESIDENT_BYTES = 2_000_000_000
"""Of all of them; more would make each start of a worker longer by a second and more."""
ROOM = 8
"""Others that may be loaded in one process at a time."""

MOST_LAYERS = 4
"""So many times as many as the model has may an adapter's file name: some name apart what the model has in one. The
conversion compares each name with all others, which for more would take long."""


class ImageAdapters:
    """The adapters of one engine.

    What is active lies on the layers of the pipeline's models, which all pipelines of the engine share: only one call
    at a time may use them. Nothing stays active between calls.

    Args:
        pipe: on the CPU, in its load dtype; layers with adapters are put into its models in place.
        base_name: of the model, for messages.
        any_base: let adapters be used that name another base, if their layers fit.
    """

    def __init__(self, pipe: Any, base_name: str, *, any_base: bool = False) -> None:
        self.shelf = Shelf((), room=ROOM)
        self._pipe, self._base_name, self._any_base = pipe, base_name, any_base
        models = {name: getattr(pipe, name, None) for name in getattr(type(pipe), "_lora_loadable_modules", ())}
        self._parts = {name: LoraLayers(one) for name, one in models.items() if isinstance(one, torch.nn.Module)}
        self._resident_bytes = 0

    def check(self, adapter: Adapter) -> None:
        """Raise AdapterError unless the adapter can be used with the model: AdapterMismatch where it does not fit."""
        self._read(adapter)

    def merge(self, adapter: Adapter, weight: float) -> None:
        """Add an adapter to the base's own weights, for good.

        Raises:
            AdapterError: it does not fit, or its weights are damaged.
        """
        self._load(adapter, "merged")
        try:
            for part in self._parts.values():
                part.merge({"merged": weight})
        except ValueError as exc:
            raise AdapterError(f'The adapter "{adapter.name}" cannot be merged: the sums are not finite.') from exc

    def add(self, adapter: Adapter, *, stays: bool) -> None:
        """Put an adapter on the shelf.

        Args:
            adapter: from `find_adapter`.
            stays: load it now, if there is still room for one that stays; else it is loaded when a call needs it.

        Raises:
            AdapterError: it does not fit, or its weights are damaged.
            UsageError: there is one of that name.
        """
        parts = self._read(adapter)
        self.shelf.add(adapter)
        fits = len(self.shelf.names) <= RESIDENT and self._resident_bytes + adapter.bytes <= RESIDENT_BYTES
        if stays and fits:
            self._resident_bytes += adapter.bytes
            self.shelf.keep(adapter, lambda _, internal: self._put(parts, internal))

    @contextmanager
    def loaded(self, images: Sequence[PreparedImage]) -> Iterator[Mapping[str, str]]:
        """Have the adapters of a call loaded, none of them active; those that came with it are removed after it.

        Yields:
            Their internal names, by the names that requests use.
        """
        try:
            self._set({})
            yield self._ready(images)
        finally:
            self._set({})
            self.shelf.forget((extra for image in images for extra in image.extra), self._drop)

    @contextmanager
    def active(self, image: PreparedImage, internal: Mapping[str, str]) -> Iterator[None]:
        """Have the adapters of one request active, and none afterwards; `internal` as `loaded` gives it."""
        weights: dict[str, float] = {}
        for choice in image.chosen:
            name = internal[choice.name]
            weights[name] = weights.get(name, 0.0) + choice.weight
        try:
            self._set(weights)
            yield
        finally:
            self._set({})

    def _ready(self, images: Sequence[PreparedImage]) -> dict[str, str]:
        named: dict[str, Adapter] = {}
        for image in images:
            own = {adapter.name: adapter for adapter in (*image.away, *image.extra)}
            named |= {choice.name: own.get(choice.name) or self.shelf.get(choice.name) for choice in image.chosen}
        internal = self.shelf.need(list(named.values()), self._load, self._drop)
        return {name: internal[adapter.sha256] for name, adapter in named.items()}

    def _read(self, adapter: Adapter) -> dict[str, Part]:
        """What it changes in each of the models, if it fits them."""
        if not self._parts:
            raise AdapterMismatch(
                f'The adapter "{adapter.name}" cannot be used with "{self._base_name}": diffusers knows no adapters '
                f"for a {type(self._pipe).__name__}."
            )
        modules, layers = sum(len(part.shapes) for part in self._parts.values()), len(adapter.pairs())
        if layers > MOST_LAYERS * modules:
            raise AdapterMismatch(f"{said_of(adapter, self._base_name)}: it changes {layers:,} layers, of {modules:,}.")
        parts = convert(adapter, self._pipe, self._base_name)
        shapes = {
            f"{name}.{module}": shape for name, part in self._parts.items() for module, shape in part.shapes.items()
        }
        ours = [replace(one, module=f"{name}.{one.module}") for name, part in parts.items() for one in part.pairs]
        check_base(adapter, self._base_name, shapes, any_base=self._any_base, layers=ours)
        return parts

    def _load(self, adapter: Adapter, internal: str) -> None:
        self._put(self._read(adapter), internal)

    def _put(self, parts: Mapping[str, Part], internal: str) -> None:
        """Put an adapter into all models that it changes; where that fails, none of it is left."""
        try:
            for name, part in parts.items():
                self._parts[name].load(internal, [one.module for one in part.matrices], part.matrices)
        except BaseException:
            self._drop(internal)
            raise

    def _drop(self, internal: str) -> None:
        for part in self._parts.values():
            part.drop(internal)

    def _set(self, weights: Weights) -> None:
        for part in self._parts.values():
            part.set(weights)
