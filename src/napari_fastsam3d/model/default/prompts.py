"""What the default model is told: prompts in crop indices, and the clicks of one label."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Clicks(NamedTuple):
    """The clicks of one label, positive or negative.

    Attributes
    ----------
    points : Tensor
        (B, M, 3) crop indices, M >= 1. A sample with fewer than M clicks has one of them several
        times; what a sample without any has is to be ignored.
    present : Tensor
        (B,) bool: whether a sample has such a click.
    any : bool
        Whether one of the samples has, or may have; to ask `present` would be to wait for a GPU.
    """

    points: Tensor
    present: Tensor
    any: bool


@dataclass(frozen=True)
class Prompts:
    """What the user said about one object, in crop indices.

    Attributes
    ----------
    points : Tensor
        (B, N, 3) float, axis order of the crop, voxel centres at integers.
    labels : Tensor
        (B, N) integer: 1 positive, 0 negative, -1 padding.
    box : Tensor
        (B, 2, 3) float: the lowest and the highest corner; NaN where there is no box.
    previous : Tensor
        (B, 1, S/4, S/4, S/4) logits of the previous step, zeros at first.
    static : bool
        Whether shapes must follow from the number of points alone, and nothing be read back by the
        host, as in a CUDA graph.
    """

    points: Tensor
    labels: Tensor
    box: Tensor
    previous: Tensor
    static: bool = False

    def clicks(self, label: int) -> Clicks:
        """Give the clicks of a label.

        Repeating a click changes no map, for every map takes the largest over the clicks; so
        nothing has to be masked afterwards, where it would cost a pass over all cells.
        """
        chosen, points, clicked = self.labels == label, self.points, True
        if not self.static:
            columns = chosen.any(0)
            clicked = bool(columns.any())
            columns[0] |= not clicked
            chosen, points = chosen[:, columns], points[:, columns]
        first = chosen.int().argmax(1, keepdim=True)
        number = torch.arange(chosen.shape[1], device=chosen.device)
        which = torch.where(chosen, number, first)[..., None].expand(-1, -1, 3)
        return Clicks(points.gather(1, which), chosen.any(1), clicked)
