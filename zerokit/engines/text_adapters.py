"""Adapters in the layers of a chat model: loaded beside the base, and set anew for every call."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import safe_open

from zerokit.control import Control
from zerokit.engines.adapter_files import alpha_of
from zerokit.engines.lora_layers import LoraLayers, Matrices, Weights
from zerokit.engines.prompts import PreparedChat
from zerokit.engines.shelf import Adapter, Shelf, check_base
from zerokit.engines.turns import Turns
from zerokit.errors import AdapterError

RESIDENT = 16
"""Adapters that are loaded beside the base when the engine starts, and so travel with its weights."""
ROOM = 8
"""Others that may be loaded in one process at a time."""
NONE = "__base__"
"""What peft calls no adapter, where each row of a batch has its own."""


class NotByRow(Exception):
    """A layer does not see the rows of the batch as such, so they cannot have different adapters."""


class TextAdapters:
    """The adapters of one engine.

    What is active lies on the model's layers, so a call with adapters must be alone with them, while calls without
    any run side by side: `turn` sees to that. Nothing stays active between calls.

    Args:
        model: on the CPU, in its load dtype; layers with adapters are put into it in place.
        base_name: of the model, for messages.
        any_base: let adapters be used that name another base, if their layers fit.
    """

    def __init__(self, model: torch.nn.Module, base_name: str, *, any_base: bool = False) -> None:
        self.shelf = Shelf((), room=ROOM)
        self.by_row = True
        """Whether rows of one batch can have different adapters."""
        self._model = model
        self._base_name, self._any_base = base_name, any_base
        self._lora = LoraLayers(model)
        self._active = False
        self._turns = Turns()

    def check(self, adapter: Adapter) -> None:
        """Raise AdapterMismatch unless the adapter fits the model."""
        check_base(adapter, self._base_name, self._lora.shapes, any_base=self._any_base)

    def merge(self, adapter: Adapter, weight: float) -> None:
        """Add an adapter to the base's own weights, for good.

        Raises:
            AdapterError: it does not fit, or its weights are damaged.
        """
        self.check(adapter)
        tied = _tied(self._model)
        if any(pair.module in tied for pair in adapter.pairs()):
            raise AdapterError(
                f'The adapter "{adapter.name}" changes one of two layers that share their weights, so it cannot be '
                "merged. Give it as one of the adapters instead."
            )
        self._load(adapter, "merged")
        try:
            self._lora.merge({"merged": weight})
        except ValueError as exc:
            raise AdapterError(f'The adapter "{adapter.name}" cannot be merged: its weights are not finite.') from exc
        self._active = False

    def add(self, adapter: Adapter, *, stays: bool) -> None:
        """Put an adapter on the shelf.

        Args:
            adapter: from `find_adapter`.
            stays: load it now, if there is still room for one that stays; else it is loaded when a call needs it.

        Raises:
            AdapterError: it does not fit, or its weights are damaged.
            UsageError: there is one of that name.
        """
        self.check(adapter)
        self.shelf.add(adapter)
        if stays and len(self.shelf.names) <= RESIDENT:
            self.shelf.keep(adapter, self._load)

    @contextmanager
    def turn(self, chats: Sequence[PreparedChat], control: Control) -> Iterator[Turn | None]:
        """Have the adapters of a call loaded, and be the only one who uses them.

        Yields:
            What to set them with; None where the call must end before its turn came.
        """
        alone = any(chat.chosen for chat in chats) or self._active
        with self._turns.turn(control, alone=alone) as come:
            if not (come and alone):
                yield Turn(self, {}) if come else None
                return
            try:
                self._set({})
                yield Turn(self, self._ready(chats))
            finally:
                self._set({})
                self.shelf.forget((extra for chat in chats for extra in chat.extra), self._drop)

    def _ready(self, chats: Sequence[PreparedChat]) -> dict[str, str]:
        """The internal names of what the chats name, loaded."""
        named: dict[str, Adapter] = {}
        for chat in chats:
            own = {adapter.name: adapter for adapter in (*chat.away, *chat.extra)}
            named |= {choice.name: own.get(choice.name) or self.shelf.get(choice.name) for choice in chat.chosen}
        internal = self.shelf.need(list(named.values()), self._load, self._drop)
        return {name: internal[adapter.sha256] for name, adapter in named.items()}

    def _load(self, adapter: Adapter, internal: str) -> None:
        """Put an adapter into the layers; where that fails, none of it is left."""
        self._active = True
        # What the file says decides which layers, not the patterns of its config.
        self._lora.load(internal, [pair.module for pair in adapter.pairs()], _matrices(adapter))
        self._active = False

    def _drop(self, internal: str) -> None:
        self._lora.drop(internal)

    def _set(self, weights: Weights) -> None:
        """Have just these adapters active, each as strongly as `weights` says."""
        self._active = True
        self._lora.set(weights)
        self._active = bool(weights)


class Turn:
    """What one call sets its adapters with.

    Args:
        adapters: the engine's.
        internal: names of what is loaded, by the names that requests use.
    """

    def __init__(self, adapters: TextAdapters, internal: Mapping[str, str]) -> None:
        self._adapters = adapters
        self._internal = internal

    @contextmanager
    def active(self, chats: Sequence[PreparedChat]) -> Iterator[None]:
        """Have each row's adapters active, and none afterwards.

        Raises:
            NotByRow: inside, where rows cannot have different ones.
        """
        chosen = [self._weights(chat) for chat in chats]
        if not any(chosen):
            yield
            return
        hooks = []
        try:
            self._adapters._set({name: weight for row in chosen for name, weight in row.items()})
            if any(row != chosen[0] for row in chosen):
                hooks = self._by_row([next(iter(row), NONE) for row in chosen])
            yield
        finally:
            for hook in hooks:
                hook.remove()
            self._adapters._set({})

    def _weights(self, chat: PreparedChat) -> Weights:
        weights: dict[str, float] = {}
        for choice in chat.chosen:
            internal = self._internal[choice.name]
            weights[internal] = weights.get(internal, 0.0) + choice.weight
        return weights

    def _by_row(self, names: list[str]) -> list[Any]:
        def tell(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            if not args or len(args[0]) != len(names):
                raise NotByRow
            return args, {**kwargs, "adapter_names": names}

        return [
            layer.register_forward_pre_hook(tell, with_kwargs=True) for layer in self._adapters._lora.layers.values()
        ]


def runs(chats: Sequence[PreparedChat], *, by_row: bool) -> list[list[int]]:
    """Which chats (by their places) can be answered in one batch.

    transformers takes one repetition penalty for a whole batch. peft takes one adapter for each row, and an adapter
    has the same weight in all of them; rows with several adapters go with those that have the same.
    """
    groups: list[tuple[Any, dict[str, float], list[int]]] = []
    for place, chat in enumerate(chats):
        own = {choice.name: choice.weight for choice in chat.chosen}
        single = by_row and len(own) < 2
        key = (chat.repetition_penalty, None if single else sorted(own.items()))
        for other, weights, members in groups:
            if other == key and all(weights.get(name, weight) == weight for name, weight in own.items()):
                weights.update(own)
                members.append(place)
                break
        else:
            groups.append((key, own, [place]))
    return [members for _, _, members in sorted(groups, key=lambda group: group[0][0])]


def _matrices(adapter: Adapter) -> Iterator[Matrices]:
    """The matrices of an adapter, one module at a time.

    Raises:
        AdapterError: they are not finite.
    """
    config = adapter.config()
    with safe_open(adapter.file, "pt") as file:
        for pair in adapter.pairs():
            down, up = (file.get_tensor(key) for key in (pair.down, pair.up))
            if not (down.float().isfinite().all() and up.float().isfinite().all()):
                raise AdapterError(f'The adapter "{adapter.name}" has weights that are not finite.')
            alpha = alpha_of(pair.module, config)
            alpha *= math.sqrt(pair.rank) if config.get("use_rslora") else 1
            yield Matrices(pair.module, down, up, alpha, pair.embedding)


def _tied(model: Any) -> set[str]:
    """Names of the embeddings and of the output layer, where they share their weights."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    if None in ends or ends[0].weight is not ends[1].weight:
        return set()
    return {name for name, module in model.named_modules() if module in ends}
