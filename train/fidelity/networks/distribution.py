"""How far drawn pictures are from real ones as a whole: the Frechet inception distance (arXiv 1706.08500).

    pictures ──Inception-v3, 2048 features──> mean and covariance of each side ──torchmetrics──> FID, 0 is the same

The network is torch-fidelity's: TensorFlow's weights of 2015, and the resizing to 299 x 299 of TensorFlow 1, which the
published figures were computed with. A mean and a covariance are all that is kept, so memory does not grow with the
pictures. FID falls with their number (arXiv 1911.07023): only figures of equally many can be compared.
"""

import io
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from stages.errors import ConfigError, WeightsError
from stages.extras import needs
from stages.records import UInt8Array
from stages.weights.state_dicts import load_state_dict
from stages.weights.store import WeightsFile

MODEL = "inception_v3_fid"
FEATURES = 2048
LEAST_PICTURES = 2
"""Of one picture there is no covariance."""


class InceptionFeatures(nn.Module):
    """torch-fidelity's Inception-v3: (batch, 3, height, width) uint8 to (batch, 2048)."""

    num_features = FEATURES
    """torchmetrics asks for it."""

    def __init__(self, file: WeightsFile) -> None:
        """Load the network; WeightsError if the file holds another one."""
        with needs("eval"):
            from torch_fidelity import feature_extractor_inceptionv3 as inception  # type: ignore[import-untyped]

        super().__init__()
        # torch-fidelity unpickles whatever it is given. So it is given what was read with weights_only, written anew.
        content = io.BytesIO()
        torch.save(load_state_dict(file), content)
        content.seek(0)
        try:
            self.network = inception.FeatureExtractorInceptionV3("inception-v3-compat", [str(FEATURES)], content)
        except RuntimeError as error:
            raise WeightsError(
                f"{file.path} must hold the parameters of torch-fidelity's Inception-v3, got others; use the published "
                "file"
            ) from error

    def forward(self, images_bchw: Tensor) -> Tensor:
        features_bd: Tensor = self.network(images_bchw)[0]
        return features_bd


class FrechetDistance:
    """FID of pictures that are given a few at a time."""

    def __init__(self, features: nn.Module, device: str) -> None:
        """Take a network on `device` that maps (batch, 3, height, width) uint8 to (batch, `num_features`)."""
        with needs("eval"):
            from torchmetrics.image.fid import FrechetInceptionDistance

        self._metric = FrechetInceptionDistance(feature=features).to(device)
        self._pictures = 0

    def add(self, drawn: Sequence[UInt8Array], real: Sequence[UInt8Array]) -> None:
        """Take (height, width, 3) RGB pictures; all drawn ones of one size, all real ones of one size."""
        with torch.inference_mode():
            self._metric.update(self._batch(drawn), real=False)
            self._metric.update(self._batch(real), real=True)
        self._pictures += len(drawn)

    def value(self) -> float:
        """Return FID; ConfigError if there are too few pictures.

        The eigenvalues of 2048 x 2048 numbers take half a minute on one CPU thread.
        """
        if self._pictures < LEAST_PICTURES:
            raise ConfigError(f"FID must have at least {LEAST_PICTURES} pictures, got {self._pictures}; draw more")
        return float(self._metric.compute())

    def _batch(self, images: Sequence[UInt8Array]) -> Tensor:
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(self._metric.device)
