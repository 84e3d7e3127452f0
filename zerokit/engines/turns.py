"""Whose turn it is: many calls that change nothing at a time, or one that does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from zerokit.control import Control

_LOOK_EVERY_S = 0.05


class Turns:
    """A lock that calls share, unless one needs it alone; a call that waits notices Stop and its deadline."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._sharing = 0
        self._alone = False
        self._waiting = 0

    @contextmanager
    def turn(self, control: Control, *, alone: bool) -> Iterator[bool]:
        """Wait for a turn, and have it while the block runs.

        Args:
            control: of the call that waits.
            alone: nobody else may have a turn meanwhile.

        Yields:
            Whether it is its turn; False where the call must end first.
        """
        come = self._take(control, alone)
        try:
            yield come
        finally:
            if come:
                self._give_back(alone)

    def _take(self, control: Control, alone: bool) -> bool:
        with self._free:
            self._waiting += alone
            try:
                # Who wants to be alone goes first, or those who share could keep it waiting for ever.
                while self._alone or (self._sharing if alone else self._waiting):
                    if control.stop_reason() is not None:
                        return False
                    self._free.wait(_LOOK_EVERY_S)
            finally:
                self._waiting -= alone
            self._alone = alone
            self._sharing += not alone
            return True

    def _give_back(self, alone: bool) -> None:
        with self._free:
            if alone:
                self._alone = False
            else:
                self._sharing -= 1
            self._free.notify_all()
