"""The prompt encoder of the default model."""

import torch
from torch import Tensor, nn

from napari_fastsam3d.model.default.image_encoder import FRAME, Pyramid, PyramidConfig
from napari_fastsam3d.model.default.prompt_maps import cell_of
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.model.layers.convolution import Merge
from napari_fastsam3d.model.layers.fourier_position import FourierPosition


class PyramidPromptEncoder(nn.Module):
    """Turn points and a box into tokens, and the previous mask into a bias of the image tokens."""

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        width = config.width
        self.position = FourierPosition(width)
        self.labels = nn.Embedding(2, width)
        self.corners = nn.Embedding(2, width)
        self.clicked = nn.Linear(config.widths[1], width)
        self.mask = nn.Sequential(Merge(1, 32), nn.GELU(approximate="tanh"), Merge(32, width))

    def forward(self, prompts: Prompts, pyramid: Pyramid) -> tuple[Tensor, Tensor, Tensor]:
        """Encode prompts.

        Returns
        -------
        tuple of Tensor
            Tokens (B, N + 2, width); which of them are valid (B, N + 2) bool; what the previous
            mask adds to the image tokens (B, cells, width).
        """
        points = self._encode(prompts.points, pyramid) + self.labels(prompts.labels.clamp(min=0))
        has_box = ~prompts.box.isnan().any(-1)
        corners = self._encode(prompts.box.nan_to_num(0.0), pyramid) + self.corners.weight
        tokens = torch.cat([points, corners.to(points.dtype)], dim=1)
        valid = torch.cat([prompts.labels >= 0, has_box], dim=1)
        previous = torch.tanh(prompts.previous / 4).movedim(1, -1)
        return tokens, valid, self.mask(previous).flatten(1, 3)

    def _encode(self, points: Tensor, pyramid: Pyramid) -> Tensor:
        shape = pyramid.middle.shape[1:4]
        centred = (points + 0.5 - 2 * shape[0] + FRAME / 2) / FRAME
        flat = pyramid.middle.flatten(1, 3)
        where = cell_of(points, shape, 4).reshape(len(flat), -1, 1).expand(-1, -1, flat.shape[-1])
        clicked = flat.gather(1, where).reshape(*points.shape[:2], -1)
        return self.position(centred) + self.clicked(clicked)
