"""`ZeroChat`: a chat model as a page, an API and a Python object."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr

from zerokit.blocks import chat_box, conversation
from zerokit.blocks.chat_batch import Batches
from zerokit.blocks.chat_model import ChatModel, ChatWork, from_page
from zerokit.blocks.chat_part import ChatPart
from zerokit.blocks.conversation import Turn
from zerokit.blocks.harmless import as_written
from zerokit.blocks.running import Running
from zerokit.blocks.visitor import left_s
from zerokit.blocks.waiting import let_wait
from zerokit.calls import Outcome, Quote
from zerokit.engines.shelf import Adapter
from zerokit.engines.text import TextEngine
from zerokit.errors import ZeroKitError
from zerokit.quota.meter import ZeroQuota
from zerokit.requests import MAX_PROMPT_CHARACTERS, ChatReply, ChatRequest, Message

NEXT = Message("user", "What about this?")
"""For the price of a next question, whatever it will be."""
_CHAT_HEIGHT = "max(220px, 100dvh - 340px - max(0px, 700px - 100vw) * 0.32 - var(--zerokit-part-height, 0px))"
"""What is left of the window, so that nobody has to scroll to the text box; narrower windows stack more above it."""
Shown: TypeAlias = tuple[list[Turn], Any, Any, Any]
"""What the page gets with a beat: turns, quota bar, Continue, text box."""
_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


class ZeroChat(gr.ChatInterface):  # type: ignore[misc]
    """A chat Space: a `gr.Blocks` with a model behind it.

    Make it at module level, where ZeroGPU can capture the weights, and `launch()` it or nest it in other Blocks.

    Args:
        model: a model on the Hub or in a folder that has a chat template, "embedded" for the small one that comes with
            ZeroKit, or a `TextEngine`.
        title: above the chat; None: the model's name; "": none.
        description: below the title; Markdown.
        examples: questions to click.
        system_prompt: what the model is told before every conversation; visitors can change it.
        max_new_tokens: the most tokens of an answer, to begin with.
        temperature: to begin with; None: the model's own, or 0.7.
        stream: show the text as it comes, instead of whole when it is complete.
        size: "large" (half a card, the default) or "xlarge" (a whole one, at twice the price).
        part: what stands beside the conversation and takes part in its requests, as the adapters of `ZeroLoRA` do.
        **loading: `revision`, `token`, `dtype`, `quantization`, `trust_remote_code`, as `TextEngine` takes them.

    Raises:
        ModelError: the model cannot be used.

    Examples:
        >>> demo = ZeroChat("Qwen/Qwen3-4B-Instruct-2507")
        >>> demo.launch()
    """

    def __init__(
        self,
        model: str | Path | TextEngine,
        *,
        title: str | None = None,
        description: str | None = None,
        examples: Sequence[str] | None = None,
        system_prompt: str = "",
        max_new_tokens: int = 512,
        temperature: float | None = None,
        stream: bool = False,
        size: str | None = None,
        part: ChatPart | None = None,
        **loading: Any,
    ) -> None:
        self.engine = model if isinstance(model, TextEngine) else TextEngine(model, **loading)
        self.model = ChatModel(
            self.engine, size=size, system_prompt=system_prompt, max_new_tokens=max_new_tokens, temperature=temperature
        )
        self.show_stream = stream
        self._running = Running()
        self.part = part or ChatPart()
        self.settings = self._make_settings()
        self.asked_with = [*self.settings, *self.part.inputs]
        """What a request is made of, besides the conversation."""
        self.quota = ZeroQuota(render=False)
        self.go_on_button = gr.Button("Continue", size="sm", visible=False, render=False)
        textbox = chat_box.make()
        super().__init__(
            self._answer,
            chatbot=gr.Chatbot(
                show_label=False, scale=1, height=_CHAT_HEIGHT, min_height=220, buttons=["copy"], render=False
            ),
            textbox=textbox,
            additional_inputs=[*self.asked_with, self.quota],
            additional_inputs_accordion=gr.Accordion("Settings", open=False, render=False),
            additional_outputs=[self.quota, self.go_on_button, textbox],
            examples=[[example] for example in examples] if examples else None,
            title=self.engine.name if title is None else title,
            description=description,
            editable=True,
            save_history=True,
            concurrency_limit=None,
            show_progress="hidden",
            validator=chat_box.check,
            api_visibility="private",
        )
        # It stands in the page anyway, and a new one at each start would lose the visitors' conversations.
        self.saved_conversations.secret = f"zerokit/{self.title}"
        let_wait(self)

    def ask(self, prompt: str, *, system_prompt: str | None = None, **settings: Any) -> ChatReply:
        """Answer one question without a page.

        Args:
            prompt: the question.
            system_prompt: None: the block's own.
            **settings: fields of `ChatRequest`, such as `max_new_tokens` or `seed`.

        Raises:
            RequestError: the prompt or a setting cannot be used.
            gradio.Error: the GPU call failed.
        """
        return self.chat([Message("user", prompt)], system_prompt=system_prompt, **settings)

    def chat(
        self, messages: Sequence[Message | Turn], *, system_prompt: str | None = None, **settings: Any
    ) -> ChatReply:
        """Answer the last message of a conversation, as `Message`s or dicts with role and content."""
        work = self.model.work(self.model.request(messages, system_prompt, settings))
        return self.model.reply(work)

    def batch(self, prompts: Sequence[str], *, system_prompt: str | None = None, **settings: Any) -> list[ChatReply]:
        """Answer many questions in one reservation, side by side; in parts where the memory is too small for all."""
        return self.model.replies(self.model.batch_work(self._requests(prompts, system_prompt, settings)))

    def batches(
        self, prompts: Sequence[str], *, cap_s: float | None = None, system_prompt: str | None = None, **settings: Any
    ) -> Iterator[dict[int, ChatReply]]:
        """Answer any number of questions in few reservations: each takes as many as fit, the next what is left.

        Args:
            prompts: the questions; all are checked before a GPU is asked for.
            cap_s: seconds that one call of this visitor may reserve; None: as much as with any plan.
            system_prompt: None: the block's own.
            **settings: fields of `ChatRequest`.

        Returns:
            After each reservation the answers it brought, by the place of their questions; every question is in one
            of them. Who stops in between asks the rest another time.

        Raises:
            RequestError: there is no question, or one of them or a setting cannot be used.
            gradio.Error: a call failed, and with fewer questions would fail, too. What came before has been given.
        """
        return iter(Batches(self.model, self._requests(prompts, system_prompt, settings), cap_s))

    def batch_quote(self, prompts: Sequence[str], *, system_prompt: str | None = None, **settings: Any) -> Quote:
        """What `batch` would reserve for them."""
        return self.model.replies.quote(self.model.batch_work(self._requests(prompts, system_prompt, settings)))

    def _requests(
        self, prompts: Sequence[str], system_prompt: str | None, settings: dict[str, Any]
    ) -> list[ChatRequest]:
        return [self.model.request([Message("user", prompt)], system_prompt, settings) for prompt in prompts]

    # What the page does.

    def _make_settings(self) -> list[gr.components.Component]:
        start = self.model.sampling
        return [
            gr.Textbox(
                self.model.system_prompt,
                label="System prompt",
                lines=2,
                max_length=MAX_PROMPT_CHARACTERS,
                render=False,
            ),
            gr.Slider(
                1,
                min(8192, self.engine.context_tokens),
                start["max_new_tokens"],
                step=1,
                label="Max new tokens",
                info="The most an answer may have",
                render=False,
            ),
            gr.Slider(
                0,
                2,
                start["temperature"],
                step=0.05,
                label="Temperature",
                info="0: always the likeliest word",
                render=False,
            ),
            gr.Slider(0.01, 1, start["top_p"], step=0.01, label="Top-p", render=False),
            gr.Slider(0, 200, start["top_k"], step=1, label="Top-k", info="0: all", render=False),
            gr.Slider(1, 2, start["repetition_penalty"], step=0.01, label="Repetition penalty", render=False),
            gr.Number(None, label="Seed", info="Empty: another each time", precision=0, render=False),
        ]

    def _render_header(self) -> None:
        """Gradio's own, but a title is text: Gradio would take it for HTML."""
        if self.title:
            gr.Markdown(f"<h1 style='text-align: center; margin-bottom: 1rem'>{html.escape(self.title)}</h1>")
        if self.description:
            gr.Markdown(self.description)

    def _render_history_area(self) -> None:
        """Gradio's own list of conversations, folded: on a phone it stands above the chat."""
        with gr.Column(scale=1, min_width=self.part.beside_px):
            self.new_chat_button = gr.Button("New chat", variant="primary", size="md")
            with gr.Accordion("Earlier chats", open=False):
                self.chat_history_dataset = gr.Dataset(
                    components=[gr.Textbox(visible=False)], show_label=False, layout="table", type="index"
                )
            self.part.place_beside()

    def _render_footer(self) -> None:
        """Gradio's own footer, with Continue and the quota bar above the settings."""
        self.go_on_button.render()
        self.part.place_below()
        self.quota.render()
        super()._render_footer()

    def _setup_events(self) -> None:
        """Gradio's events and ours in one go: Blocks that are opened a second time stand twice in those around them."""
        super()._setup_events()
        self._add_events()

    def _add_events(self) -> None:
        for component in (self.go_on_button, self.quota):
            if not component.is_rendered:
                component.render()
        go_on = self.go_on_button.click(
            self._go_on,
            [self.chatbot, *self.asked_with, self.quota],
            [self.chatbot, self.quota, self.go_on_button, self.textbox],
            concurrency_limit=None,
            show_progress="hidden",
            api_visibility="private",
        )
        self._keep_after(self._ready_after(go_on, interactive=True))
        self.quota.price(self._price, [*self.asked_with, self.chatbot_state])
        self.chatbot.undo(lambda: gr.update(visible=False), None, self.go_on_button, **_QUIET)
        after = [self.quota, self.go_on_button]
        gr.on([self.chatbot.clear, self.new_chat_button.click], self._begin_again, self.asked_with, after, **_QUIET)
        self.chat_history_dataset.click(
            self._take_up, [self.chat_history_dataset, self.saved_conversations, *self.asked_with], after, **_QUIET
        )
        self.part.add_endpoints(self.model)

    def _setup_stop_events(self, event_triggers: Any, events_to_cancel: Any, after_success: Any) -> None:
        """Gradio's buttons, but Stop ends the call instead of its event: what was made comes as the answer."""
        super()._setup_stop_events(event_triggers, [], after_success)
        submit, retry, *examples = events_to_cancel
        self._ready_after(submit)
        self._ready_after(retry)
        for event in examples:  # after them Gradio 6.31 neither lets one type nor keeps the conversation
            self._keep_after(self._ready_after(event, interactive=True))
        self.textbox.stop(self._stop, None, None, **_QUIET)

    def _ready_after(self, event: Any, **more: Any) -> Any:
        """Make the text box ready after this event, however it ended, and put the keyboard where it was lost."""
        ready = event.then(partial(chat_box.ready, **more), None, self.textbox, **_QUIET)
        return ready.then(None, None, None, js=chat_box.focus(self.textbox), **_QUIET)

    def _keep_after(self, event: Any) -> None:
        """Keep the conversation as it is after this event, in the browser too."""
        event.then(lambda turns: (turns, turns), self.chatbot, [self.chatbot_state, self.chatbot_value], **_QUIET).then(
            self._save_conversation,
            [self.conversation_id, self.chatbot_state, self.saved_conversations],
            [self.conversation_id, self.saved_conversations],
            **_QUIET,
        )

    def _message_as_message_dict(self, message: Any, role: Any = "user") -> Any:
        """Gradio's, but a text stays as it was typed; Gradio would expand its tabs and take its indentation away."""
        said = conversation.said_by(role, message) if isinstance(message, str) else message
        return super()._message_as_message_dict(said, role)

    def _stop(self, request: gr.Request) -> None:
        self._running.stop(request.session_hash)

    def _answer(
        self,
        message: str,
        history: list[Turn],
        request: gr.Request,
        token: gr.OAuthToken | None,
        *values: Any,
    ) -> Iterator[Shown]:
        """Answer a message on the page."""
        *settings, meter = values
        try:
            asked, extra = self.asked(history, settings, Message("user", as_written(message)))
            work = self.model.work(asked, extra)
        except ZeroKitError as exc:
            yield [conversation.failed(exc)], gr.skip(), gr.update(visible=False), chat_box.ready()
            return
        yield from self._run([], asked, work, meter, request, token)

    def _go_on(
        self,
        history: list[Turn],
        request: gr.Request,
        token: gr.OAuthToken | None,
        *values: Any,
    ) -> Iterator[Shown]:
        """Continue the last answer, which was cut."""
        *settings, meter = values
        try:
            asked, extra = self.asked(history, settings)
            work = self.model.work(asked, extra)
        except ZeroKitError as exc:
            yield [*history, conversation.failed(exc)], gr.skip(), gr.skip(), chat_box.ready()
            return
        yield from self._run(history, asked, work, meter, request, token)

    def asked(
        self, history: Sequence[Turn], values: Sequence[Any], message: Message | None = None
    ) -> tuple[ChatRequest, tuple[Adapter, ...]]:
        """What the page asks, with the adapters that ride along.

        Args:
            history: the conversation.
            values: of `asked_with`.
            message: the next one; None: the last answer is to be continued.

        Raises:
            RequestError: a value or the message cannot be used.
        """
        asked = self.asked_plainly(history, values, message)
        return self.part.take_part(asked, values[len(self.settings) :])

    def asked_plainly(
        self, history: Sequence[Turn], values: Sequence[Any], message: Message | None = None
    ) -> ChatRequest:
        """The same without what the part adds to it."""
        system_prompt, *sampling = values[: len(self.settings)]
        said = conversation.for_model(history, system_prompt, go_on=message is None)
        last = [] if message is None else [message]
        return ChatRequest((*said, *last), go_on=message is None, **from_page(*sampling))

    def _run(
        self,
        before: list[Turn],
        asked: ChatRequest,
        work: ChatWork,
        meter: Any,
        request: gr.Request,
        token: gr.OAuthToken | None,
    ) -> Iterator[Shown]:
        """Make the call, and show after `before` what there is: progress, and at last the answer."""
        function = self.model.reply.within(left_s(token, meter))
        show = conversation.streamed if self.show_stream else conversation.pending
        buttons = gr.update(visible=False), chat_box.busy()
        with self._running.call(request.session_hash) as stop:
            for beat in function.stopped_by(stop).beats(work):
                if not isinstance(beat, Outcome):
                    yield conversation.joined(before, show(beat)), gr.skip(), *buttons
                    buttons = gr.skip(), gr.skip()
                    continue
                reply = beat.value if isinstance(beat.value, ChatReply) else None
                turns = conversation.joined(before, conversation.answered(reply, beat), over=True)
                settled = self.quota.update(
                    meter,
                    token=token.token if token else None,
                    usage=beat.usage,
                    price_s=self._price_after(asked, reply, work.prepared.extra),
                )
                yield turns, settled, gr.update(visible=conversation.can_go_on(turns)), chat_box.ready()

    def _price(self, *values: Any) -> float | None:
        """Seconds that a short next question would reserve."""
        *settings, history = values
        return self.model.reply.quote(self.model.work(*self.asked(history or [], settings, NEXT))).reserved_s

    def _price_after(self, asked: ChatRequest, reply: ChatReply | None, extra: Sequence[Adapter]) -> float | None:
        """The same, after this answer; None: cannot be told."""
        said = list(asked.messages)
        if reply is not None and reply.text:
            begun = said.pop().content if asked.go_on else ""
            said.append(Message("assistant", begun + reply.text))
        try:
            return self.model.reply.quote(
                self.model.work(replace(asked, messages=(*said, NEXT), go_on=False), extra)
            ).reserved_s
        except ZeroKitError:
            return None

    def _begin_again(self, *settings: Any) -> tuple[Any, Any]:
        """Nothing was said yet: what the first question reserves, and nothing to continue."""
        return self._taken_up([], settings)

    def _take_up(self, index: int, kept: list[list[Turn]], *settings: Any) -> tuple[Any, Any]:
        """The same for a conversation of before."""
        return self._taken_up(kept[index], settings)

    def _taken_up(self, turns: list[Turn], settings: tuple[Any, ...]) -> tuple[Any, Any]:
        try:
            price_s = self._price(*(*settings, turns))
        except ZeroKitError:
            price_s = None
        return self.quota.priced(price_s), gr.update(visible=conversation.can_go_on(turns))
