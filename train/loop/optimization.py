"""The moving parts of a run: adapter, AdamW, learning rate, loss scale and moving average, and one step of them.

    parts of a step ──losses──> mean ──backward──> gradients, averaged over parts and workers ──clip──> AdamW ──> EMA

Invariant: a step is a function of the state before it and of its batches; nothing else is kept.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stages.errors import NonFiniteLoss
from train.base.caption_cache import CaptionCache
from train.base.protocol import FrozenDiffusion
from train.config import OptimizerConfig
from train.data.batch import Batch
from train.loop.step import losses_of


class Optimization:
    """Owns the adapter's parameters and everything that changes with them."""

    def __init__(self, adapter: nn.Module, base: FrozenDiffusion, config: OptimizerConfig, max_steps: int) -> None:
        """Take an adapter on the device of `base`; wrapped for several workers if torch.distributed is running."""
        from diffusers.optimization import get_scheduler

        self.adapter = adapter
        self._base = base
        self._config = config
        self._network: nn.Module = adapter
        if torch.distributed.is_initialized():
            self._network = DistributedDataParallel(adapter)
        self._optimizer = torch.optim.AdamW(
            adapter.parameters(), config.lr, config.betas, weight_decay=config.weight_decay, fused=True
        )
        name = "cosine" if config.schedule == "cosine" else "constant_with_warmup"
        self._schedule = get_scheduler(
            name, self._optimizer, num_warmup_steps=config.warmup_steps, num_training_steps=max_steps
        )
        self._scaler = torch.amp.GradScaler(base.device.type, enabled=base.dtype is torch.float16)
        self.ema: AveragedModel | None = None
        if config.ema_decay is not None:
            self.ema = AveragedModel(
                adapter,
                multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay),  # type: ignore[no-untyped-call]
            )

    @property
    def learning_rate(self) -> float:
        return float(self._schedule.get_last_lr()[0])

    @property
    def best(self) -> nn.Module:
        """What is exported and looked at: the moving average if there is one."""
        return self.adapter if self.ema is None else self.ema.module

    def accumulate(self, parts: Sequence[Batch], captions: CaptionCache, number: int) -> float:
        """Compute the gradients of the parts of a batch, and return the mean loss.

        Raises NonFiniteLoss, naming the step and the samples; the weights have not changed then.
        """
        losses = []
        for position, part in enumerate(parts):
            with self._averaged_at_last(position == len(parts) - 1):
                each = losses_of(self._base, self._network, captions, part)
                self._scaler.scale(each.mean() / len(parts)).backward()  # type: ignore[no-untyped-call]
            losses.append(each.detach())
        return self._finite_mean(torch.cat(losses), [key for part in parts for key in part.keys], number)

    def apply(self, number: int) -> float:
        """Take one optimizer step with the gradients, and return their norm before clipping.

        Raises NonFiniteLoss if the norm is not finite; the weights have not changed then. With a loss scale, which
        finds its size by overflowing, such a step is skipped: weights, learning rate and average stay as they are,
        and only the scale falls. Below 1 it is not the scale that overflows: NonFiniteLoss as well.
        """
        self._scaler.unscale_(self._optimizer)
        largest = self._config.max_grad_norm or math.inf
        norm = float(nn.utils.clip_grad_norm_(self.adapter.parameters(), largest))
        is_taken = math.isfinite(norm)
        if not (is_taken or (self._scaler.is_enabled() and self._scaler.get_scale() >= 1)):
            raise NonFiniteLoss(
                f"the gradient of step {number} must be finite, got norm {norm}; lower optimizer.lr, or use "
                'loop.dtype = "float32"'
            )
        if is_taken:
            self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        if is_taken:
            self._schedule.step()
            if self.ema is not None:
                self.ema.update_parameters(self.adapter)
        return norm

    def state(self) -> dict[str, Any]:
        """Everything but the weights, as torch's own state dicts."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
            "averaged": 0 if self.ema is None else int(self.ema.n_averaged),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave; the weights are loaded into `adapter` and `ema` themselves."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.n_averaged.fill_(state["averaged"])

    @contextlib.contextmanager
    def _averaged_at_last(self, last: bool) -> Iterator[None]:
        """Let DDP average gradients over the workers once a step, with the last part."""
        if isinstance(self._network, DistributedDataParallel) and not last:
            with self._network.no_sync():
                yield
        else:
            yield

    def _finite_mean(self, losses: Tensor, keys: Sequence[str], number: int) -> float:
        bad = [key for key, finite in zip(keys, losses.isfinite().tolist(), strict=True) if not finite]
        if bad:
            raise NonFiniteLoss(
                f"the loss of step {number} must be finite, got none for {', '.join(bad[:8])}; look at these samples, "
                'lower optimizer.lr, or use loop.dtype = "float32"'
            )
        return float(losses.mean())
