"""LoRA matrices in the layers of one model, beside its weights: put in, set, taken out again."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer, LoraModel

Weights = Mapping[str, float]
"""How strongly each adapter acts, by its internal name."""


@dataclass(frozen=True)
class Matrices:
    """What an adapter adds to the weight of one module: up times down, times alpha / rank."""

    module: str
    down: torch.Tensor
    up: torch.Tensor
    alpha: float
    embedding: bool = False

    @property
    def rank(self) -> int:
        return self.down.shape[0]


class LoraLayers:
    """The layers of one model that have adapters; several models can be parts of one pipeline.

    Layers are replaced in place, by peft's. Nothing is active but between `set` and the next `set`.

    Args:
        model: on the CPU, in its load dtype.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.shapes = shapes_of(model)
        self.layers: dict[str, Any] = {}
        dtypes = (parameter.dtype for parameter in model.parameters() if parameter.dtype.is_floating_point)
        self._load_dtype = next(dtypes, torch.float16)
        self._tuner: Any = None

    @property
    def loaded(self) -> set[str]:
        """Internal names of the adapters that are in the layers."""
        return set() if self._tuner is None else set(self._tuner.peft_config)

    def load(self, internal: str, modules: Sequence[str], matrices: Iterable[Matrices]) -> None:
        """Put an adapter in, not active; where that fails, none of it is left.

        Args:
            internal: its name from here on, one that an attribute can have.
            modules: that it changes, each a key of `shapes`.
            matrices: one for each of them.
        """
        try:
            self._inject(modules, internal)
            for one in matrices:
                self._fill(one, internal)
            self.set({})
        except BaseException:
            self.drop(internal)
            raise

    def drop(self, internal: str) -> None:
        """Take an adapter out, also one that came only into some of the layers."""
        self.layers = _layers(self.model)
        self.set({})
        for layer in self.layers.values():
            layer.delete_adapter(internal)
        if self._tuner is not None:
            self._tuner.peft_config.pop(internal, None)

    def set(self, weights: Weights) -> None:
        """Have just these adapters active, each as strongly as `weights` says."""
        # What peft's `set_adapter` and `enable_adapters` set (0.21), without their walk over all matrices to say which
        # can be trained: none of these ever can, and the walk takes most of a switch.
        names, none = list(weights), not weights
        for layer in self.layers.values():
            for name, weight in weights.items():
                layer.set_scale(name, weight)
            layer._active_adapter, layer._disable_adapters = names, none

    def merge(self, weights: Weights) -> None:
        """Add these adapters to the model's own weights for good, and leave no layer replaced.

        Raises:
            ValueError: the sums are not finite.
        """
        if self._tuner is None:
            return
        self.set(weights)
        with _quiet():
            self._tuner.merge_and_unload(safe_merge=True)
        self._tuner, self.layers = None, {}

    def _inject(self, modules: Sequence[str], internal: str) -> None:
        """Have peft put empty layers in, just where the adapter has matrices; `_fill` brings those and their ranks."""
        settings = LoraConfig(
            r=1, lora_alpha=1, target_modules=list(modules), init_lora_weights=False, inference_mode=True
        )
        where: Any = {f"{module}.lora_A.weight": None for module in modules}
        # On the meta device nothing is allocated, and no random numbers are drawn.
        with torch.device("meta"), _quiet():
            if self._tuner is None:
                self._tuner = LoraModel(self.model, settings, internal, state_dict=where)
            else:
                # peft looks at the settings of the one it takes for active, which may have been taken out by now.
                self._tuner.peft_config[internal], self._tuner.active_adapter = settings, internal
                self._tuner.inject_adapter(self.model, internal, state_dict=where)
        self.layers = _layers(self.model)
        self.model.eval()

    def _fill(self, one: Matrices, internal: str) -> None:
        layer = self.layers[one.module]
        down, up = (self._parameter(layer, matrix) for matrix in (one.down, one.up))
        if one.embedding:
            layer.lora_embedding_A[internal], layer.lora_embedding_B[internal] = down, up
        else:
            layer.lora_A[internal].weight, layer.lora_B[internal].weight = down, up
        layer.r[internal], layer.lora_alpha[internal] = one.rank, one.alpha

    def _parameter(self, layer: Any, matrix: torch.Tensor) -> torch.nn.Parameter:
        """A matrix as its layer needs it: in the dtype that all weights were loaded in, then in that they have now."""
        beside = layer.get_base_layer().weight
        dtype = beside.dtype if beside.dtype.is_floating_point else self._load_dtype
        matrix = matrix.to(self._load_dtype).to(beside.device, dtype).contiguous()
        return torch.nn.Parameter(matrix, requires_grad=False)


def shapes_of(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights that an adapter can change, by the names of their modules.

    (out, in) of linear layers, also of quantized ones; (rows, width) of tables of embeddings; (out, in, height, width)
    of convolutions.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding):
            shapes[name] = (module.num_embeddings, module.embedding_dim)
        elif isinstance(module, torch.nn.Conv2d):
            shapes[name] = tuple(module.weight.shape)
        elif hasattr(module, "out_features") and hasattr(module, "in_features"):
            shapes[name] = (int(module.out_features), int(module.in_features))
        elif type(module).__name__ == "Conv1D":
            shapes[name] = (int(module.nf), int(module.nx))
    return shapes


def _layers(model: torch.nn.Module) -> dict[str, Any]:
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}


@contextmanager
def _quiet() -> Iterator[None]:
    """peft warns of tied embeddings and of what it will change; nothing of that is for the author of a Space."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
