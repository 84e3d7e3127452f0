"""What engines of all kinds have in common: adapters that requests can choose, and others that come with a request."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol

from zerokit.adapters import AdapterSpec
from zerokit.engines.adapter_files import MAX_BYTES
from zerokit.engines.shelf import Adapter, Kind, Shelf, find_adapter


class Adapters(Protocol):
    """The adapters in the layers of an engine's model."""

    shelf: Shelf

    def check(self, adapter: Adapter) -> None:
        """Raise AdapterMismatch unless the adapter fits the model."""

    def add(self, adapter: Adapter, *, stays: bool) -> None:
        """Put an adapter on the shelf; load it now where it stays."""


class AdaptedEngine:
    """An engine whose requests can choose adapters."""

    kind: ClassVar[Kind]
    _adapters: Adapters

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """Those that a request can choose, by their names."""
        return self._adapters.shelf.adapters

    def add_adapter(self, spec: AdapterSpec | str | Path, *, token: str | None = None) -> Adapter:
        """Let requests choose one more adapter from now on; it is loaded when the first of them needs it.

        Raises:
            AdapterMismatch: it is for another model.
            ModelError: it cannot be used; a subclass where the reason is a common one.
            UsageError: there is one of that name.
        """
        adapter = find_adapter(AdapterSpec.of(spec), kind=self.kind, token=token)
        self._adapters.add(adapter, stays=False)
        return adapter

    def find_adapter(
        self,
        spec: AdapterSpec | str | Path,
        *,
        token: str | None = None,
        max_bytes: int = MAX_BYTES,
        guest: Path | None = None,
    ) -> Adapter:
        """An adapter that is not the engine's own, checked and found to fit, for `prepare(extra=...)`.

        Args:
            spec: where it is.
            token: for a private or gated repository.
            max_bytes: a larger file is refused before it is fetched.
            guest: for what a visitor names: only what everybody can see on the Hub is looked at, without any token,
                and fetched into this folder.

        Raises:
            AdapterMismatch: it is for another model.
            ModelError: it cannot be used; a subclass where the reason is a common one.
        """
        adapter = find_adapter(AdapterSpec.of(spec), kind=self.kind, token=token, max_bytes=max_bytes, guest=guest)
        self._adapters.check(adapter)
        return adapter
