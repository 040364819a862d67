"""The prompt encoder of the published models: points and the mask of the step before."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.model.layers.fourier_position import FourierPosition, Wave

EPSILON = 1e-6
WAVES: tuple[Wave, ...] = ("sin", "cos", "sin")


class StridedConvolution(nn.Module):
    """A convolution with kernel = stride = 2, as a matrix product, channels first.

    With as few channels as a mask has, it is the voxels that should lie side by side.
    """

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_width, 8 * width))
        self.bias = nn.Parameter(torch.zeros(out_width))
        nn.init.trunc_normal_(self.weight, std=(8 * width) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, 2D, 2H, 2W) to (B, C', D, H, W)."""
        b, c, d, h, w = x.shape
        patches = x.reshape(b, c, d // 2, 2, h // 2, 2, w // 2, 2)
        columns = patches.permute(0, 3, 5, 7, 1, 2, 4, 6).reshape(b, 8 * c, -1)
        out = self.weight @ columns + self.bias[:, None]
        return out.view(b, -1, d // 2, h // 2, w // 2)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of a map that has them first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to the same shape."""
        centred = x - x.mean(1, keepdim=True)
        scale = torch.rsqrt(centred.square().mean(1, keepdim=True) + EPSILON)
        shape = (1, -1, 1, 1, 1)
        return centred * scale * self.weight.view(shape) + self.bias.view(shape)


class PublishedPromptEncoder(nn.Module):
    """Turn points into tokens, and the previous mask into a bias of the image tokens.

    Two things look like slips in the authors' code and are kept, since the weights were trained
    with them: positions are encoded as sine, cosine and sine again; and while points are taken in
    array order (axis 0, 1, 2), the encoding of the grid stacks its axes as (axis 1, 0, 2).

    There is no box prompt. `no_mask_embed` is in the published files and is not used: the first
    step is given a mask of zeros.

    Parameters
    ----------
    width : int
        Channels of the tokens, a multiple of 3.
    grid, crop_size : int
        Image tokens, and crop voxels, along each axis.
    mask_widths : tuple of int
        Channels between the layers that take in the previous mask.
    """

    def __init__(
        self, width: int, grid: int, crop_size: int, mask_widths: tuple[int, int] = (4, 16)
    ) -> None:
        super().__init__()
        first, second = mask_widths
        self.grid = grid
        self.crop_size = crop_size
        self.pe_layer = FourierPosition(width, waves=WAVES)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(2))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.no_mask_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.ModuleDict(
            {
                "0": StridedConvolution(1, first),
                "1": ChannelNorm(first),
                "3": StridedConvolution(first, second),
                "4": ChannelNorm(second),
                "6": nn.Linear(second, width),
            }
        )

    def points(self, points: Tensor, labels: Tensor) -> Tensor:
        """Encode points.

        Parameters
        ----------
        points : Tensor
            (B, N, 3) crop index, axis order of the array, voxel centres at integers.
        labels : Tensor
            (B, N): 1 positive, 0 negative, -1 not a point.

        Returns
        -------
        Tensor
            (B, N, width).
        """
        encoded = self.pe_layer((points + 0.5) / self.crop_size)
        table = torch.cat([self.not_a_point_embed.weight, *self._labels()])
        # Where there is no point, its embedding replaces the encoding instead of joining it.
        return encoded * (labels >= 0)[..., None] + table[labels + 1]

    def _labels(self) -> list[Tensor]:
        return [cast(nn.Embedding, embedding).weight for embedding in self.point_embeddings]

    def grid_encoding(self) -> Tensor:
        """Encode the centres of the image tokens; gives (1, grid^3, width)."""
        centres = (torch.arange(self.grid, device=self.pe_layer.device) + 0.5) / self.grid
        first, second, third = torch.meshgrid(centres, centres, centres, indexing="ij")
        places = torch.stack([second, first, third], dim=-1)
        return self.pe_layer(places.reshape(1, -1, 3))

    def mask_features(self, logits: Tensor) -> Tensor:
        """Look at the previous mask; gives (B, grid^3, 16).

        `logits` is (B, 1, 4 * grid, 4 * grid, 4 * grid), zeros at the first step. What the image
        tokens are added is `mask_bias` of the features.
        """
        x = logits
        for convolution, norm in (("0", "1"), ("3", "4")):
            x = self.mask_downscaling[convolution](x)
            x = F.gelu(self.mask_downscaling[norm](x))
        return x.flatten(2).transpose(1, 2)

    @property
    def mask_bias(self) -> nn.Module:
        """The last layer of the mask's way, linear, from 16 channels to the image tokens'."""
        return self.mask_downscaling["6"]
