"""Trains the embedded image model from scratch, in four parts: the autoencoder, the text encoder, latents of a pool of
pictures, and the UNet.

Every part needs the ones before. Matrices and convolutions are trained with Muon, the rest with AdamW (see
`chat_train`). The autoencoder computes in bfloat16, where it is twice as fast; the UNet is not, and computes in
float32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from zerokit.embedded.image_data import Scene, draw
from zerokit.embedded.image_model import (
    CHANNELS,
    new_autoencoder,
    new_pipeline,
    new_scheduler,
    new_unet,
    train_tokenizer,
)
from zerokit.embedded.image_prompts import Request, Sampler
from zerokit.embedded.image_text import as_ids, train_text_encoder

Report = Callable[[str], None]

_FOREIGN_PICTURES = 0.3
"""Of so many pictures a part is replaced by a smooth random one, so that the autoencoder knows all colours."""
_DRAWN = ("flat",) * 6 + ("outline", "pastel")
"""The styles that the autoencoder learns, so that adapters can draw in them."""
_LATENT_NOISE = 0.1
"""Standard deviation of what is added to latents of about 1, so that the decoder forgives the UNet small errors."""
_NO_CAPTION = 0.1
_MOMENTUM, _DECAY = 0.95, 0.02
_PURE_NOISE = 0.05
"""The share of latents that are nothing but noise: where every picture starts."""


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training; the defaults made the model that ships.

    Args:
        steps: of the UNet.
        pool: how many pictures are drawn for the UNet; their wordings are drawn anew for every step.
        plain: the share of them that shows one shape in the middle, as most prompts ask for.
        text_steps: of the text encoder; it needs about 600 to understand every wording.
        matrix_rate: of the UNet's matrices, as `autoencoder_rate` is of the autoencoder's; `other_rate` is of what
            else both have.
        hidden: width of the text encoder.
        channels: of the UNet at its three resolutions.
    """

    seed: int = 0
    steps: int = 2600
    batch: int = 30
    pool: int = 40_000
    plain: float = 0.15
    autoencoder_steps: int = 2000
    autoencoder_batch: int = 24
    autoencoder_rate: float = 0.015
    decoder_steps: int = 800
    text_steps: int = 700
    text_batch: int = 96
    matrix_rate: float = 0.008
    other_rate: float = 4e-3
    hidden: int = 96
    channels: tuple[int, int, int] = (32, 64, 96)


@dataclass(frozen=True)
class Trained:
    """A trained pipeline with what the training took."""

    pipeline: StableDiffusionPipeline
    losses: tuple[float, ...]
    core_s: float
    wall_s: float


def train(recipe: Recipe, report: Report = print) -> Trained:
    """Train the whole pipeline; the same recipe is made to give the same weights on the same machine and threads.

    Each part draws from seeds of its own, so that one can be changed without the others.

    Args:
        recipe: seed, steps, rates and size.
        report: is told about the progress every 50 steps.
    """
    core, wall = time.process_time(), time.monotonic()
    torch.manual_seed(recipe.seed)
    autoencoder = train_autoencoder(recipe, Sampler(recipe.seed), report)
    refine_decoder(autoencoder, recipe, report)
    torch.manual_seed(recipe.seed + 2)
    tokenizer = train_tokenizer()
    text_encoder = train_text_encoder(
        tokenizer,
        Sampler(recipe.seed + 2),
        hidden=recipe.hidden,
        steps=recipe.text_steps,
        batch=recipe.text_batch,
        report=report,
    )
    torch.manual_seed(recipe.seed + 3)
    sampler = Sampler(recipe.seed + 3)
    pool = draw_pool(autoencoder, sampler, recipe.pool, recipe.plain)
    report(f"encoded {recipe.pool} pictures: mean {pool.latents.mean():.3f}, deviation {pool.latents.std():.3f}")
    unet = new_unet(hidden=recipe.hidden, channels=recipe.channels)
    losses = Learner(unet, text_encoder, tokenizer, sampler).train(pool, recipe, report)
    pipeline = new_pipeline(autoencoder, text_encoder, tokenizer, unet)
    return Trained(pipeline, tuple(losses), time.process_time() - core, time.monotonic() - wall)


def pixels(scenes: Sequence[Scene], styles: Sequence[str] = ("flat",)) -> torch.Tensor:
    """Draw scenes as one batch, in the styles in turn: pictures x 3 x 64 x 64, from -1 to 1."""
    drawn = np.stack([np.asarray(draw(scene, styles[place % len(styles)])) for place, scene in enumerate(scenes)])
    batch = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)


def train_autoencoder(recipe: Recipe, sampler: Sampler, report: Report) -> AutoencoderTiny:
    """Train the autoencoder on fresh pictures; each channel of its latents ends up with mean 0 and deviation 1."""
    autoencoder = new_autoencoder().to(memory_format=torch.channels_last)
    norm = torch.nn.BatchNorm2d(CHANNELS, affine=False)
    steps = Steps(autoencoder, recipe.autoencoder_steps, _of_autoencoder(recipe), report, "autoencoder")
    for _ in range(recipe.autoencoder_steps):
        batch = _with_foreign(pixels(_scenes(sampler, recipe.autoencoder_batch), _DRAWN))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latents = norm(autoencoder.encoder(batch).float())
            seen = autoencoder.decoder(latents + _LATENT_NOISE * torch.randn_like(latents))
        error = seen.float() - batch
        steps.take(error.abs().mean() + 2 * error.square().mean())
    autoencoder.eval()
    _fold(autoencoder, pixels(_scenes(sampler, 512)))
    return autoencoder


def _scenes(sampler: Sampler, count: int) -> list[Scene]:
    return [sampler.scene(sampler.request()) for _ in range(count)]


def _of_autoencoder(recipe: Recipe) -> Recipe:
    return replace(recipe, matrix_rate=recipe.autoencoder_rate)


def refine_decoder(autoencoder: AutoencoderTiny, recipe: Recipe, report: Report) -> None:
    """Go on training the decoder alone: latents stay what they are, and the pictures made of them get cleaner."""
    torch.manual_seed(recipe.seed + 1)
    sampler = Sampler(recipe.seed + 1)
    autoencoder.requires_grad_(False).decoder.requires_grad_(True)
    steps = Steps(autoencoder.decoder, recipe.decoder_steps, _of_autoencoder(recipe), report, "decoder")
    for _ in range(recipe.decoder_steps):
        batch = _with_foreign(pixels(_scenes(sampler, recipe.autoencoder_batch), _DRAWN))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latents = autoencoder.encoder(batch).float()
            spread = 1.5 * _LATENT_NOISE * torch.rand(len(latents), 1, 1, 1)
            seen = autoencoder.decoder(latents + spread * torch.randn_like(latents))
        error = seen.float() - batch
        steps.take(error.abs().mean() + 2 * error.square().mean())


def _with_foreign(batch: torch.Tensor) -> torch.Tensor:
    """Mix smooth random pictures into a part of a batch."""
    share = torch.rand(len(batch), 1, 1, 1) * (torch.rand(len(batch), 1, 1, 1) < _FOREIGN_PICTURES)
    coarse = torch.rand(len(batch), 3, 5, 5) * 2 - 1
    smooth = torch.nn.functional.interpolate(coarse, size=batch.shape[-2:], mode="bilinear", align_corners=True)
    return (batch * (1 - share) + smooth * share).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _fold(autoencoder: AutoencoderTiny, batch: torch.Tensor) -> None:
    """Build the normalisation of the latents into the last convolution of the encoder."""
    latents = autoencoder.encoder(batch)
    mean, deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    last = autoencoder.encoder.layers[-1]
    last.weight.div_(deviation[:, None, None, None])
    last.bias.sub_(mean).div_(deviation)


@torch.no_grad()
def encode(autoencoder: AutoencoderTiny, scenes: Sequence[Scene], styles: Sequence[str] = ("flat",)) -> torch.Tensor:
    """Draw scenes, in the styles in turn, and encode them: pictures x 4 x 16 x 16."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        parts = [
            autoencoder.encoder(pixels(scenes[start : start + 128], styles)).float()
            for start in range(0, len(scenes), 128)
        ]
    return torch.cat(parts).contiguous()


@dataclass(frozen=True)
class Pool:
    """Pictures to learn from.

    Args:
        requests: what each shows.
        latents: of the same pictures, pictures x 4 x 16 x 16.
    """

    requests: Sequence[Request]
    latents: torch.Tensor


def draw_pool(
    autoencoder: AutoencoderTiny, sampler: Sampler, count: int, plain: float, styles: Sequence[str] = ("flat",)
) -> Pool:
    """Draw pictures for the UNet or an adapter and encode them.

    Args:
        autoencoder: a trained one.
        sampler: of requests and scenes.
        count: of pictures.
        plain: the share of them that shows one shape, as most prompts ask for.
        styles: in which they are drawn, in turn.
    """
    requests = [sampler.plain() if sampler.random.random() < plain else sampler.request() for _ in range(count)]
    return Pool(requests, encode(autoencoder, [sampler.scene(request) for request in requests], styles))


@dataclass(frozen=True)
class Learner:
    """Trains the UNet, or an adapter in it, on latents and their wordings.

    Args:
        unet: of which what requires gradients is trained.
        text_encoder: stays as it is.
        tokenizer: of the text encoder.
        sampler: of wordings.
        trigger: a word that goes before every other wording.
        muon: train matrices with Muon; those of an adapter are too narrow for it.
    """

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    sampler: Sampler
    trigger: str = ""
    muon: bool = True

    def train(self, pool: Pool, recipe: Recipe, report: Report = lambda line: None) -> list[float]:
        """Take `recipe.steps` steps; return the loss of each.

        Args:
            pool: of pictures.
            recipe: steps, batch and rates.
            report: is told about the progress every 50 steps.
        """
        self.unet.to(memory_format=torch.channels_last)  # a fifth faster on a CPU
        steps = Steps(self.unet.train(), recipe.steps, recipe, report, "unet", muon=self.muon)
        order = torch.empty(0, dtype=torch.long)
        for _ in range(recipe.steps):
            if len(order) < recipe.batch:
                order = torch.cat([order, torch.randperm(len(pool.requests))])
            chosen, order = order[: recipe.batch], order[recipe.batch :]
            steps.take(self.loss(pool, chosen))
        self.unet.eval().to(memory_format=torch.contiguous_format)
        return steps.losses

    def loss(self, pool: Pool, chosen: torch.Tensor) -> torch.Tensor:
        """The squared error of v, the mixture of noise and latent that the UNet is to tell, for chosen pictures."""
        wordings = [self._wording(pool.requests[index]) for index in chosen.tolist()]
        latents, timesteps = pool.latents[chosen], draw_timesteps(len(chosen))
        levels = _SIGNAL[timesteps][:, None, None, None]
        noise = torch.randn_like(latents)
        signal, spread = levels.sqrt(), (1 - levels).sqrt()
        guess = self.unet(signal * latents + spread * noise, timesteps, self.embed(wordings)).sample
        return torch.nn.functional.mse_loss(guess, signal * noise - spread * latents)

    def _wording(self, request: Request) -> str:
        """None for one in ten, for guidance."""
        if self.sampler.random.random() < _NO_CAPTION:
            return ""
        wording = self.sampler.wording(request)
        triggered = bool(self.trigger) and self.sampler.random.random() < 0.5
        return f"{self.trigger} {wording}" if triggered else wording

    @torch.no_grad()
    def embed(self, wordings: list[str]) -> torch.Tensor:
        """What the UNet reads: wordings x tokens x width."""
        return self.text_encoder(as_ids(self.tokenizer, wordings)).last_hidden_state


_SIGNAL: torch.Tensor = new_scheduler().alphas_cumprod
"""For each timestep the share of the latent in the variance of what the UNet sees."""


def draw_timesteps(count: int) -> torch.Tensor:
    """Draw timesteps evenly spread over a batch, somewhat more of the noisy ones, where it is decided what is drawn."""
    even = (torch.randperm(count) + torch.rand(count)) / count
    drawn = (len(_SIGNAL) * even**0.8).long().clamp(max=len(_SIGNAL) - 1)
    return torch.where(torch.rand(count) < _PURE_NOISE, len(_SIGNAL) - 1, drawn)


class Steps:
    """Takes the steps of a training: Muon for matrices, AdamW for the rest, warm-up, and a cosine down to zero."""

    def __init__(
        self, module: torch.nn.Module, count: int, recipe: Recipe, report: Report, name: str, *, muon: bool = True
    ) -> None:
        named = [(title, weights) for title, weights in module.named_parameters() if weights.requires_grad]
        matrices = [
            weights for title, weights in named if muon and weights.ndim >= 2 and not _outermost(title, weights)
        ]
        others = [weights for title, weights in named if not muon or weights.ndim < 2 or _outermost(title, weights)]
        adamw = torch.optim.AdamW(others, lr=recipe.other_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
        self.optimizers: list[torch.optim.Optimizer] = [adamw]
        self.rates = [recipe.other_rate]
        if matrices:
            self.optimizers.append(BatchedMuon(matrices, {"lr": recipe.matrix_rate}))
            self.rates.append(recipe.matrix_rate)
        self.module, self.count, self.report, self.name = module, count, report, name
        self.clock = time.monotonic()
        self.losses: list[float] = []

    def take(self, loss: torch.Tensor) -> None:
        """Take one step down a loss."""
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * self._schedule(len(self.losses))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.losses.append(loss.item())
        done = len(self.losses)
        if done % 50 == 0 or done == self.count:
            recent = self.losses[-50:]
            seconds = time.monotonic() - self.clock
            self.report(f"{self.name} step {done:5d}  loss {sum(recent) / len(recent):.4f}  {seconds:4.0f} s")

    def _schedule(self, step: int) -> float:
        warmup = min(50, self.count // 10 + 1)
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, self.count - warmup)))


def _outermost(title: str, weights: torch.Tensor) -> bool:
    """Embeddings, and convolutions from or to pictures and latents, are no business of Muon."""
    return "embedding" in title or (weights.ndim == 4 and min(weights.shape[:2]) <= CHANNELS)


class BatchedMuon(torch.optim.Optimizer):
    """Muon as in `chat_train`, for convolutions too; matrices of the same shape are made orthogonal in one go."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        (group,) = self.param_groups
        alike: dict[torch.Size, list[torch.nn.Parameter]] = {}
        for weights in group["params"]:
            alike.setdefault(weights.flatten(1).shape, []).append(weights)
        for (rows, columns), matrices in alike.items():
            updates = orthogonal(torch.stack([self._direction(weights) for weights in matrices]))
            for weights, update in zip(matrices, updates, strict=True):
                weights.mul_(1 - _DECAY * group["lr"])
                weights.add_(update.view(weights.shape), alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)

    def _direction(self, weights: torch.nn.Parameter) -> torch.Tensor:
        """Gradient and momentum of a matrix, or of a convolution as a matrix of one row for each channel it gives."""
        assert weights.grad is not None
        average = self.state[weights].setdefault("momentum", torch.zeros_like(weights))
        average.lerp_(weights.grad, 1 - _MOMENTUM)
        return weights.grad.lerp(average, _MOMENTUM).flatten(1)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """The nearest orthogonal matrices, roughly; matrices x rows x columns. The numbers are those of `chat_train`."""
    tall = matrices.size(1) > matrices.size(2)
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        polynomial = torch.baddbmm(square, square, square, beta=-4.775, alpha=2.0315)
        x = torch.baddbmm(x, polynomial, x, beta=3.4445)
    return (x.mT if tall else x).to(matrices.dtype)
