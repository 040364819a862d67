"""The published models: FastSAM3D and SAM-Med3D, as configurations of one network."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.model.layers.attention import padding_bias
from napari_fastsam3d.model.sam_med3d.image_encoder import Mixing, ViTConfig, ViTEncoder
from napari_fastsam3d.model.sam_med3d.mask_decoder import (
    DecoderConfig,
    PrecomputedFeatures,
    PublishedDecoder,
)
from napari_fastsam3d.model.sam_med3d.prompt_encoder import PublishedPromptEncoder

FILLER = -2
"""Label of a point that only fills a place."""


@dataclass(frozen=True)
class PublishedConfig:
    """One published network: its image encoder and its mask decoder."""

    encoder: ViTConfig
    decoder: DecoderConfig = field(default_factory=DecoderConfig)


def _windowed(depth: int) -> tuple[Mixing, ...]:
    return tuple("global" if i % 3 == 2 else "padded" for i in range(depth))


_STUDENT: tuple[Mixing, ...] = ("none",) * 2 + ("global",) * 4
_SPARSE: tuple[Mixing, ...] = ("none",) * 2 + ("grouped",) * 4

FASTSAM3D = PublishedConfig(ViTConfig(_STUDENT, residual="normalised", heads=6))

ARCHITECTURES = {
    "fastsam3d": FASTSAM3D,
    "fastsam3d-sparse": replace(FASTSAM3D, encoder=replace(FASTSAM3D.encoder, mixing=_SPARSE)),
    "sam-med3d": PublishedConfig(ViTConfig(_windowed(12))),
}
"""The published architectures by name, at their full size.

fastsam3d: six blocks, two of them without attention, the normalised skip (the student).
fastsam3d-sparse: the same with attention in strided groups; no released weights use it.
sam-med3d: twelve blocks, padded windows but for every third block (the teacher).
"""


class PublishedNetwork(nn.Module):
    """Image encoder, prompt encoder and mask decoder of one configuration."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        encoder = config.encoder
        self.config = config
        self.image_encoder = ViTEncoder(encoder)
        self.prompt_encoder = PublishedPromptEncoder(
            config.decoder.width, encoder.grid, encoder.crop_size
        )
        self.mask_decoder = PublishedDecoder(config.decoder)

    def encode(self, image: Tensor) -> Tensor:
        """Encode (B, 1, S, S, S) normalised; gives the embedding (B, C, n, n, n)."""
        return self.image_encoder(image)

    def precompute(self, embedding: Tensor) -> PrecomputedFeatures:
        """Do once what does not depend on prompts."""
        return self.mask_decoder.precompute(embedding, self.prompt_encoder)

    def decode(
        self,
        precomputed: PrecomputedFeatures,
        points: Tensor,
        labels: Tensor,
        previous: Tensor,
        multimask: bool = False,
        fillers: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Decode one step.

        Parameters
        ----------
        precomputed : PrecomputedFeatures
            Of the crop.
        points, labels : Tensor
            (B, N, 3) crop indices in array order, and (B, N): 1 positive, 0 negative, -1 the
            padding point that the authors' code appends, `FILLER` with `fillers`.
        previous : Tensor
            (B, 1, 4 n, 4 n, 4 n) logits of the step before, zeros at first.
        multimask : bool
            Whether to give three guesses instead of one mask.
        fillers : bool
            Whether there may be points labelled `FILLER`, which nothing attends to: they keep
            shapes fixed and change no result.

        Returns
        -------
        tuple of Tensor
            Logits (B, M, 4 n, 4 n, 4 n) and qualities (B, M).
        """
        tokens = self.prompt_encoder.points(points, labels.clamp(min=-1))
        features = self.prompt_encoder.mask_features(previous)
        bias = self._filler_bias(labels) if fillers else None
        return self.mask_decoder(precomputed, features, tokens, bias, multimask)

    def _filler_bias(self, labels: Tensor) -> Tensor:
        outputs = 1 + self.mask_decoder.mask_tokens.num_embeddings
        return padding_bias(F.pad(labels != FILLER, (outputs, 0), value=True), torch.float32)
