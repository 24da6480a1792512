"""The objective's arithmetic: noise in, the squared error of the prediction out.

x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise ──UNet──> prediction ──mean squared error──> loss
"""

from torch import Tensor

from train.base.protocol import Prediction


def add_noise(latents_bchw: Tensor, noise_bchw: Tensor, signal_b: Tensor) -> Tensor:
    """Mix latents with noise; `signal_b` is the cumulative alpha of each time step (arXiv 2006.11239, eq. 4)."""
    signal = signal_b[:, None, None, None]
    return signal.sqrt() * latents_bchw + (1 - signal).sqrt() * noise_bchw


def prediction_target(prediction: Prediction, latents_bchw: Tensor, noise_bchw: Tensor, signal_b: Tensor) -> Tensor:
    """Return what the UNet should predict: the noise, or the velocity (arXiv 2202.00512, appendix D)."""
    if prediction == "epsilon":
        return noise_bchw
    signal = signal_b[:, None, None, None]
    return signal.sqrt() * noise_bchw - (1 - signal).sqrt() * latents_bchw


def sample_losses(prediction_bchw: Tensor, target_bchw: Tensor) -> Tensor:
    """Return the mean squared error of each sample, (batch,)."""
    return (prediction_bchw - target_bchw).square().mean(dim=(1, 2, 3))
