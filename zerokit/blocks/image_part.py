"""What can stand on an image page and take part in its requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from zerokit.engines.shelf import Adapter
from zerokit.pictures.record import Record
from zerokit.requests import ImageRequest


class ImagePart:
    """A part of an image page; this one is not seen and changes nothing.

    The values of its inputs come with every event of the page that makes pictures or a price.
    """

    inputs: Sequence[gr.components.Component] = ()

    def place(self) -> None:
        """Place its components, between the button and the settings."""

    def take_part(self, asked: ImageRequest, values: Sequence[Any]) -> tuple[ImageRequest, tuple[Adapter, ...]]:
        """The request with what this part adds to it, and the adapters that ride along.

        Args:
            asked: as the page alone would ask it.
            values: of the inputs.

        Raises:
            RequestError: they cannot be used.
        """
        return asked, ()

    def recalled(self, record: Record, values: Sequence[Any]) -> tuple[list[Any], list[str]]:
        """New values for the inputs as a picture has them, nothing of what was there before; and what has no place.

        Args:
            record: of the picture.
            values: of the inputs, as they are.
        """
        notes = ["It was made with adapters, which this page does not have."] if record.adapters else []
        return [gr.skip() for _ in self.inputs], notes
