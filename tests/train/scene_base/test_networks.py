"""The networks of the small base model."""

import torch

from train.scene_base.networks import UNET_CHANNELS, build_parts, steerable


def test_a_steerable_unet_computes_the_same_and_takes_features_at_every_scale() -> None:
    unet = build_parts(0).unet.eval()
    steered = steerable(unet)
    generator = torch.Generator().manual_seed(1)
    noisy, context = (torch.randn(shape, generator=generator) for shape in ((2, 4, 16, 16), (2, 32, 128)))
    timesteps = torch.tensor([3, 700])
    features = [torch.randn((2, c, 16 >> n, 16 >> n), generator=generator) for n, c in enumerate(UNET_CHANNELS)]
    with torch.no_grad():
        before = unet(noisy, timesteps, context).sample
        after = steered(noisy, timesteps, context).sample
        moved = steered(noisy, timesteps, context, down_intrablock_additional_residuals=features).sample
    assert torch.equal(after, before)
    assert float((moved - before).abs().max()) > 1e-2


def test_equal_seeds_give_equal_weights() -> None:
    one, again, other = (build_parts(seed).unet.conv_in.weight for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
