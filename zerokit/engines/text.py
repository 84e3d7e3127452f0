"""Chat models: loaded in the main process, asked inside a GPU call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from zerokit.adapters import AdapterSpec
from zerokit.control import Control
from zerokit.engines import placement
from zerokit.engines.adapted import AdaptedEngine
from zerokit.engines.answers import end_ids, think_ids
from zerokit.engines.memory import asked_for, free, is_out_of_memory
from zerokit.engines.prompts import PreparedBatch, PreparedChat, PromptWriter, context_tokens
from zerokit.engines.sampling import Sampler
from zerokit.engines.shelf import Adapter, base_of_first, find_adapter
from zerokit.engines.text_adapters import NotByRow, TextAdapters, Turn, runs
from zerokit.engines.text_loading import load
from zerokit.engines.watch import Desk, Row, Watch
from zerokit.errors import NonFinite, OutOfMemory, RequestError
from zerokit.requests import ChatReply, ChatRequest

PREFILL_CHUNK_TOKENS = 256
"""How much of a prompt is read at a time where the memory was too small for all of it."""
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h")


class TextEngine(AdaptedEngine):
    """A chat model, ready to answer.

    Create it at module level, where ZeroGPU can capture its weights. `prepare` belongs into the main process;
    `generate` runs where the GPU is. No question leaves anything behind on the engine: all state rides in what
    `prepare` returns.

    Args:
        model: a repository on the Hub, a folder, or "embedded" for the small model that comes with ZeroKit; None: the
            one that the first adapter names as its base.
        adapters: LoRA adapters that a request can choose, alone or several at once, each as strongly as it likes.
        merge: one adapter that is always active: added to the weights once, so that no token takes longer for it.
        any_base: use adapters that name another base as well, where their layers fit.
        revision: branch, tag or commit of the repository.
        token: for a private or gated repository; None uses the one the Hub's client knows.
        dtype: "float16", "bfloat16", "float32", or "auto" for the checkpoint's own. Where there is no card, half
            precision is computed in fp32 or bf16.
        quantization: a quantization config as transformers takes it.
        trust_remote_code: run code that comes with the model.

    Raises:
        UsageError: an argument cannot be used.
        ModelError: the model cannot be used; a subclass where the reason is a common one.

    Examples:
        >>> engine = TextEngine("embedded")
        >>> prepared = engine.prepare(ChatRequest((Message("user", "Hello"),)))
        >>> engine.generate(prepared, Control()).text
    """

    kind = "text"
    _adapters: TextAdapters

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        adapters: Sequence[AdapterSpec | str | Path] = (),
        merge: AdapterSpec | str | Path | None = None,
        any_base: bool = False,
        revision: str | None = None,
        token: str | None = None,
        dtype: str | torch.dtype = "float16",
        quantization: Any = None,
        trust_remote_code: bool = False,
    ) -> None:
        specs = [AdapterSpec.of(given) for given in adapters]
        merged = [] if merge is None else [AdapterSpec.of(merge)]
        if model is None:
            model = base_of_first([*merged, *specs], token=token)
        found = [find_adapter(spec, kind="text", token=token) for spec in (*merged, *specs)]
        loaded = load(
            model,
            revision=revision,
            token=token,
            dtype=placement.load_dtype(dtype),
            quantization=quantization,
            trust_remote_code=trust_remote_code,
        )
        self.name = loaded.name
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self._adapters = TextAdapters(self.model, self.name, any_base=any_base)
        if merged:
            self._adapters.merge(found.pop(0), merged[0].weight)
        for adapter in found:
            self._adapters.add(adapter, stays=True)
        placement.attend_without_plans()
        self.packed_bytes = placement.place(self.model, quantized=quantization is not None)
        self.context_tokens = context_tokens(self.model.config, self.tokenizer)
        own: GenerationConfig = self.model.generation_config
        self.sampling = {name: value for name in _SAMPLING if (value := getattr(own, name, None)) is not None}
        """What the model's makers recommend: temperature, top_p, top_k, where they say."""
        self._prompts = PromptWriter(self.tokenizer, self.context_tokens)
        self._end_ids = end_ids(own, self.tokenizer)
        self._skipped = (frozenset(self.tokenizer.all_special_ids) | self._end_ids) - think_ids(self.tokenizer)
        self._settle(own)

    def _settle(self, own: GenerationConfig) -> None:
        """Take out of the model's own settings what a request says, or what would warn or compile."""
        for name in (
            *_SAMPLING,
            "max_length",
            "max_new_tokens",
            "cache_implementation",
            "watermarking_config",
        ):
            setattr(own, name, None)
        own.do_sample, own.num_beams, own.num_return_sequences, own.use_cache = False, 1, 1, True
        own.renormalize_logits, own.return_dict_in_generate, own.disable_compile = False, False, True
        own.eos_token_id = sorted(self._end_ids) or None
        pads = (own.pad_token_id, self.tokenizer.pad_token_id, *sorted(self._end_ids), 0)
        self._pad_id = own.pad_token_id = next(pad for pad in pads if pad is not None)

    def prepare(self, request: ChatRequest, *, extra: Sequence[Adapter] = ()) -> PreparedChat:
        """The request as the model reads it, cut to the context. CPU work, for the main process.

        Args:
            request: what is asked.
            extra: adapters from `find_adapter` that the request can name besides the engine's own; they are loaded
                for this one answer.

        Raises:
            RequestError: the last message alone is too long, the chat template refuses the conversation, or there is
                no adapter of a name.
        """
        away, extra = self._adapters.shelf.bring([choice.name for choice in request.adapters], extra)
        return replace(self._prompts.prepare(request), away=away, extra=extra)

    def prepare_batch(self, requests: Sequence[ChatRequest], *, extra: Sequence[Adapter] = ()) -> PreparedBatch:
        """Several requests for one call, each with its own adapters; `extra` as for `prepare`.

        Raises:
            RequestError: there is none, or one of them cannot be used; the message says which.
        """
        if not requests:
            raise RequestError("There is no question to answer.")
        chats = []
        for number, request in enumerate(requests, 1):
            try:
                chats.append(self.prepare(request, extra=extra))
            except RequestError as exc:
                raise RequestError(f"Question {number} of {len(requests)}: {exc.message}") from exc
        return PreparedBatch(tuple(chats))

    def generate(self, prepared: PreparedChat, control: Control) -> ChatReply:
        """Answer one question.

        Args:
            prepared: from `prepare`.
            control: asked after every token whether to stop; gets a `ChatReply` with what there is, at most five
                times a second.

        Raises:
            OutOfMemory: twice in a row, the second time with less of the prompt at once.
            NonFinite: the model computed NaN or infinity.
        """
        return self._answer([prepared], control, batched=False)[0]

    def generate_batch(self, prepared: PreparedBatch, control: Control) -> list[ChatReply]:
        """Answer several questions side by side; where the memory is too small for all, in parts.

        Args:
            prepared: from `prepare_batch`.
            control: as for `generate`; it gets a list of replies, in the order of the questions.

        Raises:
            OutOfMemory: not even one question alone fits.
            NonFinite: the model computed NaN or infinity.
        """
        return self._answer(prepared.chats, control, batched=True)

    def _answer(self, chats: Sequence[PreparedChat], control: Control, *, batched: bool) -> list[ChatReply]:
        rows = [Row(chat, self.tokenizer, self._end_ids, self._skipped) for chat in chats]
        desk = Desk(rows, control, batched=batched)
        control.report(0, sum(chat.max_new_tokens for chat in chats), "Reading")
        try:
            with self._adapters.turn(chats, control) as turn, torch.inference_mode():
                if turn is None:
                    desk.stopped()
                else:
                    self._run_all(rows, desk, turn)
        except Exception:
            # Whatever ends the call, what was made goes out first.
            desk.ended = "interrupted"
            desk.report(whole=True)
            raise
        return desk.report(whole=True)

    def _run_all(self, rows: Sequence[Row], desk: Desk, turn: Turn) -> None:
        """Answer `rows`, as many at a time as can go together."""
        try:
            for members in runs([row.chat for row in rows], by_row=self._adapters.by_row):
                self._run([rows[place] for place in members], desk, turn)
        except NotByRow:
            # Some layers of the model, such as experts, see tokens and not rows. Nothing was made of that batch yet.
            self._adapters.by_row = False
            self._run_all(rows, desk, turn)

    def _run(self, rows: Sequence[Row], desk: Desk, turn: Turn) -> None:
        """Answer `rows` together, or in halves where the memory is too small; what was made already is kept."""
        rows = [row for row in rows if not row.closed]
        if not rows or desk.stopped():
            return
        try:
            self._generate(rows, desk, turn)
            return
        except RuntimeError as exc:
            if not is_out_of_memory(exc):
                raise
        # Only here, with the exception and the tensors that its traceback held gone, is there memory to free.
        free()
        if len(rows) > 1:
            middle = (len(rows) + 1) // 2
            self._run(rows[:middle], desk, turn)
            self._run(rows[middle:], desk, turn)
            return
        try:
            self._generate(rows, desk, turn, prefill_chunk_size=PREFILL_CHUNK_TOKENS)
        except RuntimeError as exc:
            if is_out_of_memory(exc):
                raise _too_large(rows[0], exc) from exc
            raise

    def _generate(self, rows: Sequence[Row], desk: Desk, turn: Turn, **settings: Any) -> None:
        """Go on with `rows`, all of which have equally many new ids, until each is closed or the call must end."""
        chats = [row.chat for row in rows]
        made = len(rows[0].ids)
        ids, mask = _left_padded([(*row.chat.ids, *row.ids) for row in rows], self._pad_id, self.model.device)
        sampler = Sampler(chats, self.model.device, start=made, min_p=self.sampling.get("min_p", 0.0))
        watch = Watch(rows, desk, sampler, ids.shape[1])
        config = GenerationConfig(
            max_new_tokens=max(chat.max_new_tokens for chat in chats) - made,
            repetition_penalty=chats[0].repetition_penalty,
            **settings,
        )
        try:
            with turn.active(chats):
                self.model.generate(
                    ids,
                    attention_mask=mask,
                    generation_config=config,
                    logits_processor=LogitsProcessorList([sampler]),
                    stopping_criteria=StoppingCriteriaList([watch]),
                )
        except RuntimeError as exc:
            if is_out_of_memory(exc):
                watch.collect()
            raise
        if not watch.collect():
            count = sum(len(row.ids) for row in rows)
            raise NonFinite(f"The model computed NaN or infinity after {count:,} tokens.")


def _left_padded(rows: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask (rows, longest): a decoder goes on at the right end."""
    longest = max(map(len, rows))
    ids = [[pad_id] * (longest - len(row)) + list(row) for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _too_large(row: Row, exc: RuntimeError) -> OutOfMemory:
    return OutOfMemory(
        f"The memory is too small for {row.chat.prompt_tokens:,} tokens of conversation "
        f"and {len(row.ids):,} of the answer.{asked_for(exc)}"
    )
