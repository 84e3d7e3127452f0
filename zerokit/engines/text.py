"""Chat models: loaded in the main process, asked inside a GPU call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from zerokit.control import Control
from zerokit.engines import placement
from zerokit.engines.prompts import PreparedBatch, PreparedChat, PromptWriter, context_tokens
from zerokit.engines.sampling import Sampler
from zerokit.engines.text_loading import load
from zerokit.engines.watch import Desk, Row, Watch
from zerokit.errors import NonFinite, OutOfMemory, RequestError
from zerokit.requests import ChatReply, ChatRequest

PREFILL_CHUNK_TOKENS = 256
"""How much of a prompt is read at a time where the memory was too small for all of it."""
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h")


class TextEngine:
    """A chat model, ready to answer.

    Create it at module level, where ZeroGPU can capture its weights. `prepare` belongs into the main process;
    `generate` runs where the GPU is. No question leaves anything behind on the engine: all state rides in what
    `prepare` returns.

    Args:
        model: a repository on the Hub, a folder, or "embedded" for the small model that comes with ZeroKit.
        revision: branch, tag or commit of the repository.
        token: for a private or gated repository; None uses the one the Hub's client knows.
        dtype: "float16", "bfloat16", "float32", or "auto" for the checkpoint's own. Where there is no card, half
            precision is computed in fp32 or bf16.
        quantization: a quantization config as transformers takes it.
        trust_remote_code: run code that comes with the model.

    Raises:
        UsageError: an argument cannot be used.
        ModelError: the model cannot be used; a subclass where the reason is a common one.

    Example:
        >>> engine = TextEngine("embedded")
        >>> prepared = engine.prepare(ChatRequest((Message("user", "Hello"),)))
        >>> engine.generate(prepared, Control()).text
    """

    def __init__(
        self,
        model: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        dtype: str | torch.dtype = "float16",
        quantization: Any = None,
        trust_remote_code: bool = False,
    ) -> None:
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
        self.packed_bytes = placement.place(self.model, quantized=quantization is not None)
        self.context_tokens = context_tokens(self.model.config, self.tokenizer)
        own: GenerationConfig = self.model.generation_config
        self.sampling = {name: value for name in _SAMPLING if (value := getattr(own, name, None)) is not None}
        """What the model's makers recommend: temperature, top_p, top_k, where they say."""
        self._prompts = PromptWriter(self.tokenizer, self.context_tokens)
        self._end_ids = _end_ids(own, self.tokenizer)
        self._skipped = (frozenset(self.tokenizer.all_special_ids) | self._end_ids) - _think_ids(self.tokenizer)
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

    def prepare(self, request: ChatRequest) -> PreparedChat:
        """The request as the model reads it, cut to the context. CPU work, for the main process.

        Raises:
            RequestError: the last message alone is too long, or the chat template refuses the conversation.
        """
        return self._prompts.prepare(request)

    def prepare_batch(self, requests: Sequence[ChatRequest]) -> PreparedBatch:
        """Several requests for one call.

        Raises:
            RequestError: there is none, or one of them cannot be used; the message says which.
        """
        if not requests:
            raise RequestError("There is no question to answer.")
        chats = []
        for number, request in enumerate(requests, 1):
            try:
                chats.append(self.prepare(request))
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
            with torch.inference_mode():
                # transformers takes one repetition penalty for a whole batch
                for penalty in sorted({chat.repetition_penalty for chat in chats}):
                    self._run([row for row in rows if row.chat.repetition_penalty == penalty], desk)
        except Exception:
            # Whatever ends the call, what was made goes out first.
            desk.ended = "interrupted"
            desk.report(whole=True)
            raise
        return desk.report(whole=True)

    def _run(self, rows: Sequence[Row], desk: Desk) -> None:
        """Answer `rows` together, or in halves where the memory is too small; what was made already is kept."""
        rows = [row for row in rows if not row.closed]
        if not rows or desk.stopped():
            return
        try:
            self._generate(rows, desk)
            return
        except RuntimeError as exc:
            if not _is_out_of_memory(exc):
                raise
        # Only here, with the exception and the tensors that its traceback held gone, is there memory to free.
        _free()
        if len(rows) > 1:
            middle = (len(rows) + 1) // 2
            self._run(rows[:middle], desk)
            self._run(rows[middle:], desk)
            return
        try:
            self._generate(rows, desk, prefill_chunk_size=PREFILL_CHUNK_TOKENS)
        except RuntimeError as exc:
            if _is_out_of_memory(exc):
                raise _too_large(rows[0], exc) from exc
            raise

    def _generate(self, rows: Sequence[Row], desk: Desk, **settings: Any) -> None:
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
            self.model.generate(
                ids,
                attention_mask=mask,
                generation_config=config,
                logits_processor=LogitsProcessorList([sampler]),
                stopping_criteria=StoppingCriteriaList([watch]),
            )
        except RuntimeError as exc:
            if _is_out_of_memory(exc):
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


def _end_ids(config: GenerationConfig, tokenizer: Any) -> frozenset[int]:
    """Ids that end an answer: those of the model's settings and the tokenizer's, which often differ."""
    own = config.eos_token_id
    ids = {*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id}
    return frozenset(token for token in ids if token is not None)


def _think_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the reasoning marks: text for us, even where the tokenizer calls them special."""
    marks = ("<think>", "</think>")
    return frozenset(i for i, token in tokenizer.added_tokens_decoder.items() if token.content in marks)


def _is_out_of_memory(exc: RuntimeError) -> bool:
    return isinstance(exc, torch.OutOfMemoryError) or "can't allocate memory" in str(exc)


def _free() -> None:
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def _too_large(row: Row, exc: RuntimeError) -> OutOfMemory:
    asked = re.search(r"allocate ([\d.]+ ?\w+)", str(exc))
    more = f" It asked for {asked.group(1)} more." if asked else ""
    return OutOfMemory(
        f"The memory is too small for {row.chat.prompt_tokens:,} tokens of conversation "
        f"and {len(row.ids):,} of the answer.{more}"
    )
