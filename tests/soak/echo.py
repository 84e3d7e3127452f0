"""A model that says again what it was asked: the real path with an answer that is known beforehand."""

import torch


class Echo:
    """Lets a model of one token for each byte say what the last question was, and end."""

    def __init__(self, model: torch.nn.Module, tokens) -> None:
        self._start, self._end = tokens.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
        self._read: list[int] = []
        model.register_forward_pre_hook(self._before, with_kwargs=True)
        model.register_forward_hook(self._after)

    def _before(self, model: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        ids = kwargs["input_ids"][0].tolist()
        self._read = ids if len(ids) > 1 else [*self._read, *ids]

    def _after(self, model: torch.nn.Module, args: tuple, result):
        says = torch.zeros_like(result.logits)
        says[..., self._next()] = 30.0
        result.logits = says + result.logits * 0  # what is not a number stays none
        return result

    def _next(self) -> int:
        starts = [place for place, token in enumerate(self._read) if token == self._start]
        asked = self._read[starts[-2] : starts[-1]]
        asked = asked[len("user\n") + 1 : asked.index(self._end)]
        said = len(self._read) - starts[-1] - len("assistant\n") - 1
        return asked[said] if said < len(asked) else self._end
