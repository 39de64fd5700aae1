"""The fitting loop of the chest network, and the way from its training form to the deployed one."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from edge_dx.image import Pixels, compile_steps
from edge_dx.steps import AnyStep
from export.networks.chest import FEATURES, SIDE_PX, ChestNet, Layer, build, convolution
from export.training.augment import augment
from export.training.films import NIH_TARGETS, Film


@dataclass(frozen=True)
class Plan:
    """The knobs of one fit.

    Attributes:
        epochs: passes over the tuberculosis films.
        batch: tuberculosis films per step.
        helpers: NIH films per step, for the helper task; 0 leaves it out.
        helper_weight: of the helper task's loss.
        rate: peak learning rate of AdamW, one cycle with a cosine fall.
        decay: AdamW's weight decay.
        smoothing: of the labels.
        mixing: share of the batches that are mixed (mixup, Zhang et al. 2018, arXiv:1710.09412).
        dropout: on the pooled features.
        strength: of the augmentation.
        small: share of the epochs, from the first, that see the films at three quarters of their
            side, which costs half.
        average: decay per step of the running average of the weights, which is the result.
        oversample: how many times a film of each site enters an epoch.
        seed: of everything.
    """

    epochs: int = 36
    batch: int = 24
    helpers: int = 12
    helper_weight: float = 0.5
    rate: float = 2e-3
    decay: float = 0.05
    smoothing: float = 0.05
    mixing: float = 0.0
    dropout: float = 0.2
    strength: float = 0.7
    small: float = 0.0
    average: float = 0.99
    oversample: tuple[tuple[str, int], ...] = (("Shenzhen", 1), ("Montgomery", 3))
    seed: int = 0


def normed(layer: Layer) -> nn.Module:
    """A layer while it is trained: convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        convolution(layer, bias=False), nn.BatchNorm2d(layer.channels), nn.ReLU(inplace=True)
    )


class Learner(nn.Module):
    """The network in its training form, with the helper task's head beside the real one."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.network = ChestNet(normed)
        self.helper = nn.Linear(FEATURES, len(NIH_TARGETS))
        self.dropout = nn.Dropout(dropout)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`(N, 1, H, W)` → tuberculosis logits `(N,)`, helper logits `(N, len(NIH_TARGETS))`."""
        maps = self.network.trunk(image)
        features = self.dropout(maps.float().mean((2, 3)))
        return self.network.head(features)[:, 0], self.helper(features)


def fuse(trained: ChestNet) -> ChestNet:
    """Folds each batch normalisation into the convolution before it.

    `w' = w · γ / √(σ² + ε)` and `b' = β - μ · γ / √(σ² + ε)`, computed in float64.
    """
    network = build()
    for mine, theirs in zip(network.trunk, trained.trunk, strict=True):
        assert isinstance(mine, nn.Sequential)
        assert isinstance(theirs, nn.Sequential)
        target, source, norm = mine[0], theirs[0], theirs[1]
        assert isinstance(target, nn.Conv2d)
        assert isinstance(source, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_var is not None
        assert norm.running_mean is not None
        assert target.bias is not None
        gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        with torch.no_grad():
            target.weight.copy_(source.weight.double() * gain[:, None, None, None])
            target.bias.copy_(norm.bias.double() - norm.running_mean.double() * gain)
    network.head.load_state_dict(trained.head.state_dict())
    return network.eval()


def to_input(images: Sequence[Pixels]) -> torch.Tensor:
    """Prepared uint8 films → `(N, 1, H, W)` float32, `(prepared - 128) / 64`."""
    stacked = torch.from_numpy(np.stack(images))[:, None].float()
    return ((stacked - 128) * (1 / 64)).contiguous(memory_format=torch.channels_last)


def logits(
    network: ChestNet, films: Sequence[Film], steps: Sequence[AnyStep]
) -> NDArray[np.float64]:
    """The network's logits `(n,)` for films as the device prepares them."""
    prepare = compile_steps(steps)
    with torch.inference_mode():
        parts = [
            network(to_input([prepare(film.pixels) for film in films[start : start + 16]]))[0]
            for start in range(0, len(films), 16)
        ]
    return torch.cat(parts)[:, 0].double().numpy()


def fit(
    films: Sequence[Film],
    helpers: Sequence[Film],
    steps: Sequence[AnyStep],
    plan: Plan,
    *,
    report: Callable[[int, float], None] | None = None,
) -> ChestNet:
    """Fits the network and gives its deployed form.

    Args:
        films: tuberculosis films to learn from, already prepared, at `SIDE_PX` or more.
        helpers: NIH films, likewise.
        steps: run once more after the augmentation.
        plan: the knobs.
        report: told the epoch (from 1) and its mean loss.
    """
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    prepare = compile_steps(steps)
    learner = Learner(plan.dropout).train()
    _lay_out(learner)
    result = copy.deepcopy(learner)
    factor = dict(plan.oversample)
    pool = [i for i, film in enumerate(films) for _ in range(factor.get(film.site, 1))]
    per_epoch = len(pool) // plan.batch
    total = plan.epochs * per_epoch
    optimizer = torch.optim.AdamW(_groups(learner, plan.decay), lr=plan.rate)
    helper_order: list[int] = []
    for epoch in range(1, plan.epochs + 1):
        order = rng.permutation(pool)
        losses = []
        side_px = SIDE_PX * 3 // 4 if epoch <= plan.small * plan.epochs else SIDE_PX
        for k in range(per_epoch):
            step = (epoch - 1) * per_epoch + k
            for group in optimizer.param_groups:
                group["lr"] = plan.rate * _cycle(step / total)
            while len(helper_order) < plan.helpers:
                helper_order += [int(i) for i in rng.permutation(len(helpers))]
            drawn = [films[i] for i in order[k * plan.batch : (k + 1) * plan.batch]]
            drawn += [helpers[helper_order.pop()] for _ in range(plan.helpers)]
            images = to_input(
                [prepare(augment(f.pixels, side_px, rng, plan.strength)) for f in drawn]
            )
            loss = _loss(learner, images, drawn, plan, rng)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(learner.parameters(), 2.0)
            optimizer.step()
            _follow(result, learner, min(plan.average, (1 + step) / (10 + step)))
            losses.append(float(loss.detach()))
        if report is not None:
            report(epoch, float(np.mean(losses)))
    return fuse(result.network)


def _loss(
    learner: Learner,
    images: torch.Tensor,
    drawn: Sequence[Film],
    plan: Plan,
    rng: np.random.Generator,
) -> torch.Tensor:
    n = plan.batch
    truth = torch.tensor([float(bool(film.tuberculosis)) for film in drawn])
    target = truth * (1 - plan.smoothing) + plan.smoothing / 2
    weight = torch.tensor([float(film.tuberculosis is not None) for film in drawn])
    share = torch.ones(len(drawn))
    other = torch.arange(len(drawn))
    if rng.random() < plan.mixing:
        share[:n] = float(rng.beta(0.4, 0.4))
        other[:n] = torch.from_numpy(rng.permutation(n))
        images = torch.lerp(images[other], images, share[:, None, None, None])
        target = torch.lerp(target[other], target, share)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps, findings = learner(images)
    each = functional.binary_cross_entropy_with_logits(maps.float(), target, reduction="none")
    loss = (each * weight).sum() / weight.sum()
    if plan.helpers:
        told = torch.tensor([film.findings for film in drawn[n:]])
        helper = functional.binary_cross_entropy_with_logits(findings[n:].float(), told)
        loss = loss + plan.helper_weight * helper
    return loss


def _lay_out(module: nn.Module) -> None:
    """Channels last: the layout in which convolutions on a CPU are fast."""
    for kernel in module.parameters():
        if kernel.ndim == 4:
            kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)


def _groups(learner: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weight decay for kernels only: norms and biases are scales, not templates."""
    kernels = [p for p in learner.parameters() if p.ndim > 1]
    others = [p for p in learner.parameters() if p.ndim <= 1]
    return [
        {"params": kernels, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _cycle(done: float) -> float:
    """Share of the peak learning rate: a rise over the first tenth, then half a cosine."""
    if done < 0.1:
        return max(done, 1e-3) / 0.1
    return 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9)) + 1e-3


def _follow(result: nn.Module, learner: nn.Module, decay: float) -> None:
    """Moves the running average of weights and batch statistics one step."""
    with torch.no_grad():
        state = learner.state_dict()
        for name, value in result.state_dict().items():
            if value.is_floating_point():
                value.lerp_(state[name], 1 - decay)
