"""`ZeroLoRA`: one model and many adapters, as a page, an API and a Python object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from zerokit.adapters import AdapterSpec
from zerokit.blocks.lora_image import LoraImage
from zerokit.blocks.lora_text import LoraText
from zerokit.blocks.waiting import let_wait
from zerokit.engines.form import base_and_form
from zerokit.engines.image import ImageEngine
from zerokit.engines.text import TextEngine
from zerokit.errors import UsageError
from zerokit.requests import ChatReply, ImageReply

_DAY_S = 86_400
_LOADING = ("any_base", "revision", "token", "dtype", "quantization", "trust_remote_code")


class ZeroLoRA(gr.Blocks):  # type: ignore[misc]
    """A Space with adapters: a `gr.Blocks` with one model behind it, a chat or an image model.

    Make it at module level, where ZeroGPU can capture the weights, and `launch()` it or nest it in other Blocks.

    Args:
        base: a model on the Hub or in a folder, or a `TextEngine` or `ImageEngine` with adapters; None: the base of
            the first adapter.
        adapters: LoRA adapters that a visitor can pick, alone or several at once.
        title: above the page; None: the base's name.
        description: below the title; Markdown.
        examples: questions or prompts to click.
        allow_custom: let visitors name a public repository on the Hub or upload files, for themselves alone.
        size: "large" (half a card, the default) or "xlarge" (a whole one, at twice the price).
        **settings: where the page's settings start, as `ZeroChat` or `ZeroDiffusion` takes them; and how to load:
            `any_base`, `revision`, `token`, `dtype`, `quantization`, `trust_remote_code`.

    Raises:
        UsageError: nothing tells which model is meant, or two adapters have one name.
        ModelError: the base or an adapter cannot be used.

    Examples:
        >>> demo = ZeroLoRA("Qwen/Qwen3-4B-Instruct-2507", ["someone/pirate-lora", "someone/haiku-lora"])
        >>> demo.launch()
    """

    def __init__(
        self,
        base: str | Path | TextEngine | ImageEngine | None = None,
        adapters: Sequence[AdapterSpec | str | Path] = (),
        *,
        title: str | None = None,
        description: str | None = None,
        examples: Sequence[str] | None = None,
        allow_custom: bool = False,
        size: str | None = None,
        **settings: Any,
    ) -> None:
        self.engine = _engine(base, [AdapterSpec.of(given) for given in adapters], settings)
        super().__init__(title=title or self.engine.name, delete_cache=(_DAY_S, _DAY_S))
        with self:
            shown = {"title": title, "description": description, "examples": examples}
            given = {**shown, "allow_custom": allow_custom, "size": size, **settings}
            self.form = (
                LoraImage(self.engine, **given)
                if isinstance(self.engine, ImageEngine)
                else LoraText(self.engine, **given)
            )
        let_wait(self)

    def ask(self, prompt: str, *, adapters: Any = None, system_prompt: str | None = None, **settings: Any) -> ChatReply:
        """Answer one question without a page.

        Args:
            prompt: the question.
            adapters: names, an object of weights by name, or `AdapterChoice`s; None: the base alone.
            system_prompt: None: the block's own.
            **settings: fields of `ChatRequest`, such as `max_new_tokens` or `seed`.

        Raises:
            RequestError: the prompt, an adapter or a setting cannot be used.
            gradio.Error: the GPU call failed.
        """
        if isinstance(self.form, LoraImage):
            raise UsageError(f"{self.engine.name} makes pictures: use generate.")
        return self.form.ask(prompt, adapters=adapters, system_prompt=system_prompt, **settings)

    def generate(self, prompt: str, *, adapters: Any = None, **settings: Any) -> ImageReply:
        """Make pictures without a page.

        Args:
            prompt: what is to be seen.
            adapters: as for `ask`.
            **settings: fields of `ImageRequest`, such as `seed`, `images`, `steps` or `image`.

        Raises:
            RequestError: the prompt, an adapter or a setting cannot be used.
            gradio.Error: the GPU call failed.
        """
        if isinstance(self.form, LoraText):
            raise UsageError(f"{self.engine.name} answers questions: use ask.")
        return self.form.generate(prompt, adapters=adapters, **settings)

    def compare(self, prompt: str, *, adapters: Any = None, **settings: Any) -> dict[str, Any]:
        """The base and each adapter alone, with one seed, in one GPU call.

        Args:
            prompt: the question, or what is to be seen.
            adapters: as for `ask`; None: all.
            **settings: as for `ask` or `generate`.

        Returns:
            The `ChatReply`s or `ImageReply`s by the adapters' names, "" for the base; those that there was no time for
            are left out.

        Raises:
            RequestError: the prompt, an adapter or a setting cannot be used.
            gradio.Error: the GPU call failed.
        """
        return self.form.compare(prompt, adapters=adapters, **settings)


def _engine(base: Any, specs: list[AdapterSpec], settings: dict[str, Any]) -> TextEngine | ImageEngine:
    """The engine, ready or loaded with what of the settings is about loading."""
    loading = {name: settings.pop(name) for name in _LOADING if name in settings}
    if isinstance(base, TextEngine | ImageEngine):
        if loading:
            raise UsageError(f"A ready engine is loaded already: it takes no {', '.join(sorted(loading))}.")
        for spec in specs:
            base.add_adapter(spec)
        return base
    where = {name: loading.get(name) for name in ("revision", "token")}
    name, form = base_and_form(base, specs, **where)
    return (ImageEngine if form == "image" else TextEngine)(name, adapters=specs, **loading)
