"""The training loop that people write after diffusers' examples: what `condset bench train` compares with.

    images ──VAE──> latents ──scheduler.add_noise──> UNet <──features── adapter <── condition
    captions ──tokenizer, CLIP──> context ──────────┘ └──> mse_loss ──> backward, clip, AdamW

The calls are those of DF:examples/t2i_adapter/train_t2i_adapter_sdxl.py and SD:train_sketch.py, without their mistakes
(DF does not freeze its UNet, which costs far more). Invariant: it shares nothing with the trainer but the batches,
their random draws and the adapter's first weights, so that its losses are also a reference for the trainer's.
"""

import torch
from torch import Tensor, nn

from train.base.stable_diffusion import Parts
from train.data.batch import Batch

LEARNING_RATE = 1e-5
MAX_GRAD_NORM = 1.0


class PlainLoop:
    """Frozen networks, an adapter and AdamW."""

    def __init__(self, parts: Parts, adapter: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        """Freeze the networks of `parts`, and move all to where they run; the adapter's weights stay float32."""
        for network in parts.networks():
            network.requires_grad_(False).eval()
            nn.Module.to(network, device, dtype)
        self._parts = parts
        self._adapter = adapter.to(device).to(memory_format=torch.contiguous_format).train()
        self._optimizer = torch.optim.AdamW(adapter.parameters(), lr=LEARNING_RATE)
        self._device, self._dtype = device, dtype

    def step(self, batch: Batch) -> float:
        """Take one step and return its loss."""
        latents = self._latents(batch)
        context = self._context(batch.captions)
        noise = batch.noise_bchw.to(self._device)
        timesteps = batch.timesteps_b.to(self._device)
        noisy = self._parts.scheduler.add_noise(latents, noise, timesteps)
        condition = batch.condition_bchw.to(self._device).float() / 255
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not torch.float32):
            features = self._adapter(condition)
        prediction = self._parts.unet(
            noisy.to(self._dtype),
            timesteps,
            encoder_hidden_states=context,
            down_intrablock_additional_residuals=[each.to(self._dtype) for each in features],
        ).sample
        velocity = self._parts.scheduler.config.prediction_type == "v_prediction"
        target = self._parts.scheduler.get_velocity(latents, noise, timesteps) if velocity else noise
        loss = nn.functional.mse_loss(prediction.float(), target.float(), reduction="mean")
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._adapter.parameters(), MAX_GRAD_NORM)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss.item()

    @torch.no_grad()
    def _latents(self, batch: Batch) -> Tensor:
        """`latent_dist.sample()`, with the noise that was drawn for the batch."""
        assert batch.images_bchw is not None, "the loop has no other source of latents"
        images = batch.images_bchw.to(self._device).float() / 127.5 - 1
        posterior = self._parts.vae.encode(images.to(self._dtype)).latent_dist
        noise = batch.posterior_noise_bchw.to(self._device)
        latents: Tensor = (posterior.mean + posterior.std * noise) * self._parts.vae.config.scaling_factor
        return latents

    @torch.no_grad()
    def _context(self, captions: tuple[str, ...]) -> Tensor:
        tokenizer = self._parts.tokenizer
        tokens = tokenizer(
            list(captions),
            max_length=tokenizer.model_max_length,
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        )
        context: Tensor = self._parts.text_encoder(tokens.input_ids.to(self._device))[0]
        return context
