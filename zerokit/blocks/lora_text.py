"""A chat with adapters: `ZeroChat` with a gallery beside it, and the same question to several adapters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import gradio as gr

from zerokit.blocks import conversation, notes, side_by_side
from zerokit.blocks.adapter_choice import Chosen, chosen
from zerokit.blocks.adapter_part import AdapterPart
from zerokit.blocks.chat import NEXT, ZeroChat
from zerokit.blocks.chat_adapters import acting
from zerokit.blocks.chat_adapters import side_by_side as beside_each_other
from zerokit.blocks.chat_model import BatchWork, ChatModel
from zerokit.blocks.chat_part import ChatPart
from zerokit.blocks.conversation import Turn
from zerokit.blocks.diffusion_wiring import QUIET, root
from zerokit.blocks.harmless import as_written
from zerokit.blocks.lora_endpoint import add_endpoints
from zerokit.blocks.running import Running
from zerokit.blocks.visitor import left_s
from zerokit.calls import Outcome
from zerokit.engines.shelf import Adapter
from zerokit.engines.text import TextEngine
from zerokit.errors import RequestError, ZeroKitError
from zerokit.quota.words import duration
from zerokit.requests import ChatReply, ChatRequest, Message

COMPARE = "Compare"
_busy = partial(gr.update, interactive=False)


class LoraText(ChatPart):
    """The page, placed in the Blocks that are open, and its Python side.

    Args:
        engine: with its adapters.
        allow_custom: let visitors bring adapters of their own.
        title: and what follows are arguments of `ZeroChat`.
    """

    beside_px = 220

    def __init__(
        self,
        engine: TextEngine,
        *,
        allow_custom: bool,
        title: str | None = None,
        description: str | None = None,
        examples: Sequence[str] | None = None,
        system_prompt: str = "",
        max_new_tokens: int = 512,
        temperature: float | None = None,
        stream: bool = False,
        size: str | None = None,
    ) -> None:
        self.engine = engine
        self.adapters = AdapterPart(engine, allow_custom=allow_custom)
        self.inputs = self.adapters.inputs
        self._running = Running()
        with gr.Column(elem_classes="zl-page"):
            self.chat = ZeroChat(
                engine,
                title=title,
                description=description,
                examples=examples,
                system_prompt=system_prompt,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                stream=stream,
                size=size,
                part=self,
            )
        self._add_events()

    @property
    def model(self) -> ChatModel:
        """What answers."""
        return self.chat.model

    # From Python.

    def ask(self, prompt: str, *, adapters: Any = None, system_prompt: str | None = None, **settings: Any) -> ChatReply:
        """Answer one question with these adapters."""
        choice = chosen(adapters, self.engine.adapters)
        asked = self.model.request([Message("user", prompt)], system_prompt, settings)
        return self.model.reply(self.model.work(acting(asked, choice)))

    def compare(
        self, prompt: str, *, adapters: Any = None, system_prompt: str | None = None, **settings: Any
    ) -> dict[str, ChatReply]:
        """The base and each adapter alone, in one call."""
        everything = [adapter.name for adapter in self.engine.adapters]
        choice = chosen(everything if adapters is None else adapters, self.engine.adapters)
        asked = self.model.request([Message("user", prompt)], system_prompt, settings)
        replies = self.model.replies(self.model.batch_work(beside_each_other(asked, choice)))
        return dict(zip(["", *(one.name for one in choice.choices)], replies, strict=False))

    # As a part of the chat.

    def place_beside(self) -> None:
        """Place the gallery."""
        self.adapters.place()

    def place_below(self) -> None:
        """Place the buttons for a comparison, and what comes of it."""
        with gr.Row():
            self.compare_button = gr.Button(COMPARE, size="sm", interactive=False, min_width=140)
            self.stop_button = gr.Button("Stop", size="sm", variant="stop", visible=False, min_width=80)
            self.close_button = gr.Button("Close", size="sm", visible=False, min_width=80)
        self.compared = side_by_side.place()

    def take_part(self, asked: ChatRequest, values: Sequence[Any]) -> tuple[ChatRequest, tuple[Adapter, ...]]:
        """The request with the picked adapters in it."""
        choice = self.adapters.chosen(values)
        return acting(asked, choice), choice.extra

    def add_endpoints(self, model: ChatModel) -> None:
        """Add `/chat` and `/compare`."""
        add_endpoints(model, self.adapters)

    # Side by side.

    def _add_events(self) -> None:
        chat = self.chat
        self.adapters.add_events(chat.textbox)
        priced = [*chat.asked_with, chat.chatbot_state]
        changes = [component.change for component in priced if hasattr(component, "change")]
        offer = partial(
            gr.on, fn=self._offer, inputs=priced, outputs=self.compare_button, trigger_mode="always_last", **QUIET
        )
        offer([*changes, root().load])
        buttons = [self.compare_button, self.stop_button, self.close_button]
        made = self.compare_button.click(
            self._compare,
            [chat.textbox, chat.chatbot, *chat.asked_with, chat.quota],
            [self.compared, chat.quota, *buttons],
            concurrency_limit=None,
            show_progress="hidden",
            trigger_mode="once",
            api_visibility="private",
        )
        made.then(_hidden, None, self.stop_button, **QUIET).then(self._offer, priced, self.compare_button, **QUIET)
        self.stop_button.click(self._stop, None, self.stop_button, **QUIET)
        self.close_button.click(
            lambda: ("", gr.update(visible=False)), None, [self.compared, self.close_button], **QUIET
        )

    def _choice(self, values: Sequence[Any]) -> Chosen:
        return self.adapters.chosen(values[-len(self.inputs) :])

    def _work(self, asked: ChatRequest, choice: Chosen) -> tuple[list[ChatRequest], BatchWork]:
        rows = beside_each_other(asked, choice)
        return rows, self.model.batch_work(rows, choice.extra)

    def _offer(self, *values: Any) -> Any:
        """The button, with what it makes and what that reserves."""
        *settings, history = values
        try:
            choice = self._choice(settings)
            rows, work = self._work(self.chat.asked_plainly(history or [], settings, NEXT), choice)
            price_s = self.model.replies.quote(work).reserved_s
        except ZeroKitError:  # nothing is picked, or a setting is half typed
            return gr.update(value=COMPARE, interactive=False)
        price = "" if price_s is None else f" · about {duration(price_s, up=True)}"
        return gr.update(value=f"{COMPARE} {len(rows)} answers{price}", interactive=True)

    def _compare(
        self, message: str, history: list[Turn], request: gr.Request, token: gr.OAuthToken | None, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Ask the base and each picked adapter what is in the text box, or else what was asked last."""
        *settings, meter = values
        try:
            text, before = (message, history) if (message or "").strip() else conversation.last_question(history)
            if not text:
                raise RequestError("Type a message first.")
            choice = self._choice(settings)
            rows, work = self._work(
                self.chat.asked_plainly(before, settings, Message("user", as_written(text))), choice
            )
        except ZeroKitError as exc:
            yield notes.failed(exc), gr.skip(), gr.skip(), gr.skip(), gr.update(visible=True)
            return
        names = [one.shown for one in choice.compared()]
        buttons: tuple[Any, ...] = (_busy(), gr.update(visible=True, value="Stop", interactive=True), _hidden())
        function = self.model.replies.within(left_s(token, meter))
        with self._running.call(request.session_hash) as stop:
            for beat in function.stopped_by(stop).beats(work):
                if not isinstance(beat, Outcome):
                    yield side_by_side.pending(beat, names), gr.skip(), *buttons
                    buttons = gr.skip(), gr.skip(), gr.skip()
                    continue
                settled = self.chat.quota.update(meter, token=token.token if token else None, usage=beat.usage)
                shown = side_by_side.done(names, rows[0].seed, beat)
                yield shown, settled, gr.skip(), _hidden(), gr.update(visible=True)

    def _stop(self, request: gr.Request) -> Any:
        self._running.stop(request.session_hash)
        return gr.update(value="Stopping", interactive=False)


def _hidden() -> Any:
    return gr.update(visible=False)
