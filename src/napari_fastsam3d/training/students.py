"""What distillation has to know of a family of networks: how a student is made, and what matches.

The teacher's prompt encoder and mask decoder are kept; only the image encoder is distilled.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.model.checked_table import checked
from napari_fastsam3d.model.checkpoint import export_encoder, export_pyramid
from napari_fastsam3d.model.default.image_encoder import PyramidConfig, PyramidEncoder
from napari_fastsam3d.model.default.network import PyramidNetwork, with_encoder
from napari_fastsam3d.model.sam_med3d.checkpoint_keys import published_tensors
from napari_fastsam3d.model.sam_med3d.image_encoder import ViTConfig, ViTEncoder
from napari_fastsam3d.model.sam_med3d.network import ARCHITECTURES, PublishedNetwork
from napari_fastsam3d.training.recipe_file import check_sizes


class Match(NamedTuple):
    """Two layers whose outputs should be the same, by their names in teacher and student."""

    teacher: str
    student: str


class Student(ABC):
    """One pair of image encoders.

    Attributes
    ----------
    teacher : Module
        The teacher's image encoder.
    matches : tuple of Match
        In the order in which an image passes them.
    """

    teacher: nn.Module
    matches: tuple[Match, ...]

    @abstractmethod
    def make(self) -> nn.Module:
        """Make the student's image encoder; what fits of the teacher's weights is taken over."""

    def normalise(self, images: Tensor) -> Tensor:
        """Turn samples (B, 1, S, S, S) into what teacher and student expect."""
        return images

    @abstractmethod
    def export(self, encoder: nn.Module, path: Path) -> None:
        """Write a whole model: the student's image encoder, the rest of the teacher."""


def student_of(network: nn.Module, sizes: Mapping[str, Any]) -> Student:
    """Pair a teacher with a student of other sizes.

    Raises
    ------
    TrainingError
        When the sizes are none of such a network.
    """
    try:
        if isinstance(network, PublishedNetwork):
            return PublishedStudent(network, sizes)
        if isinstance(network, PyramidNetwork):
            return PyramidStudent(network, sizes)
    except TypeError as error:
        raise TrainingError(
            f"The recipe's student is misspelt: {error}.", "Compare it with the shipped ones."
        ) from error
    raise TypeError(f"nothing is known of {type(network).__name__}")


class PyramidStudent(Student):
    """A smaller image encoder of the default network: all features that its decoders read match.

    The projections of these to keys are the teacher's. The encoder is written once more by itself,
    as `encoder.safetensors`: that is what the package holds of it.
    """

    def __init__(self, network: PyramidNetwork, sizes: Mapping[str, Any]) -> None:
        self._network = network
        self.config = replace(network.config, **checked(PyramidConfig, sizes))
        check_sizes(self.config)
        self.teacher = network.encoder
        blocks = _deeper("transformer", self.config.depth, network.config.depth)
        same = ("neck", "up_coarse", "up_middle", "up_fine")
        self.matches = (
            *(Match(name, name) for name in ("down_middle", "down_coarse")),
            *blocks,
            *(Match(name, name) for name in same),
        )

    def make(self) -> PyramidEncoder:
        """See `Student.make`."""
        encoder = PyramidEncoder(self.config)
        _take_over(encoder, self.teacher, self.matches)
        return encoder

    def export(self, encoder: nn.Module, path: Path) -> None:
        """See `Student.export`."""
        assert isinstance(encoder, PyramidEncoder)
        whole = with_encoder(self._network, encoder, self.config)
        export_pyramid(whole, path)
        export_encoder(whole, self.teacher, path.with_name("encoder.safetensors"))


class PublishedStudent(Student):
    """FastSAM3D of a SAM-Med3D: half of its blocks, tokens after each of them matched."""

    def __init__(self, network: PublishedNetwork, sizes: Mapping[str, Any]) -> None:
        self._network = network
        taught = network.config.encoder
        likeness = ARCHITECTURES["fastsam3d"].encoder
        kept = {name: getattr(taught, name) for name in ("width", "hidden", "out_width", "grid")}
        heads = max(1, taught.heads // 2)
        kept |= {"patch": taught.patch, "heads": heads, **checked(ViTConfig, sizes)}
        self.config = replace(likeness, **kept)
        if self.config.heads < 1 or self.config.width % self.config.heads:
            raise TypeError(
                f"width, {self.config.width}, is no multiple of {self.config.heads} heads"
            )
        self.teacher = network.image_encoder
        self.matches = (
            Match("patch_embed", "patch_embed"),
            *_deeper("blocks", len(self.config.mixing), len(taught.mixing)),
            Match("neck", "neck"),
        )

    def make(self) -> ViTEncoder:
        """See `Student.make`; the published student begins with random weights."""
        return ViTEncoder(self.config)

    def normalise(self, images: Tensor) -> Tensor:
        """Give them the mean and deviation of what is brighter than average, as z-normalised.

        Samples come compressed by `asinh`, which is taken back.
        """
        linear = torch.sinh(images)
        bright = linear > linear.mean((1, 2, 3, 4), keepdim=True)
        return torch.stack(
            [
                (image - image[part].mean()) / image[part].std().clamp(min=1e-6)
                for image, part in zip(linear, bright, strict=True)
            ]
        )

    def export(self, encoder: nn.Module, path: Path) -> None:
        """See `Student.export`; by the authors' names, for `models import`."""
        whole = PublishedNetwork(replace(self._network.config, encoder=self.config))
        whole.prompt_encoder = self._network.prompt_encoder
        whole.mask_decoder = self._network.mask_decoder
        assert isinstance(encoder, ViTEncoder)
        whole.image_encoder = encoder
        tensors = {key: value.contiguous() for key, value in published_tensors(whole).items()}
        partial = path.with_suffix(".partial")
        save_file(tensors, partial, metadata={"architecture": "fastsam3d"})
        partial.replace(path)


def _deeper(name: str, count: int, of: int) -> tuple[Match, ...]:
    """Match each of a student's blocks with the last of those of the teacher that it stands for."""
    last = (-(-(i + 1) * of // count) - 1 for i in range(count))
    return tuple(Match(f"{name}.{there}", f"{name}.{here}") for here, there in enumerate(last))


@torch.no_grad()
def _take_over(student: nn.Module, teacher: nn.Module, matches: tuple[Match, ...]) -> None:
    """Copy what has the same name and shape, blocks from those that they are matched with.

    A pointwise convolution gets the sums of the kernel that it stands for.
    """
    given = teacher.state_dict()
    renamed = {f"{match.student}.": f"{match.teacher}." for match in matches}
    for key, value in student.state_dict().items():
        begin = next((name for name in renamed if key.startswith(name)), None)
        source = key if begin is None else renamed[begin] + key.removeprefix(begin)
        found = given.get(source, given.get(source.replace(".conv2.", ".conv2.conv.")))
        if found is not None and found.ndim == value.ndim + 3:
            found = found.sum((2, 3, 4))
        if found is not None and found.shape == value.shape:
            value.copy_(found)
