"""What the predictors of this package have in common: a network with its weights on a device."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_fastsam3d.model.layers.attention import AttentionLayer
from napari_fastsam3d.model.normalisation import Inside
from napari_fastsam3d.model.predictor import Floats, Segmentation

_PACKAGE = __name__.partition(".")[0]


class Blocks:
    """What the blocks of a network ask; it doesn't hold the network, nor its predictor."""

    def __init__(self) -> None:
        self.go_on: Callable[[], object] = lambda: None

    def ask(self, _module: nn.Module, _inputs: tuple[Any, ...]) -> None:
        """Ask whether to go on, before a block computes."""
        self.go_on()


class BasePredictor(ABC):
    """A network with its weights, on a device.

    Axes of every crop are canonical (R, A, S); crop indices have voxel centres at integers.

    Parameters
    ----------
    name : str
        Its name in the zoo, or its file's name.
    device : torch.device
        Where it computes.
    dtype : torch.dtype
        Precision of matrix products.
    fingerprint : str
        SHA-256 of the weights, hexadecimal.

    Attributes
    ----------
    blocks : Blocks
        Whom the blocks of the network ask before they compute.
    encoder_fingerprint : str
        What tells its image encoder from others: features of one can be compared, whatever decodes
        them. That of all weights, unless a subclass tells it apart.

    rounds_activations : bool
        Whether it computes under autocast to bfloat16.

    What it can do is told by attributes of its class: see `Predictor`.
    """

    crop_size: int = 128
    spacings: tuple[float, ...] = (1.5,)
    start_spacing: float = 1.5
    feeds: Literal["cumulative", "single"] = "cumulative"
    accepts_boxes: bool = False
    edge_aware: bool = False
    blends_locally: bool = False
    margin: int = 0
    sees_from_afar: bool = False
    rounds_activations: bool = False

    def __init__(
        self, name: str, device: torch.device, dtype: torch.dtype, fingerprint: str
    ) -> None:
        self.name = name
        self.device = device
        self.dtype = dtype
        self.fingerprint = fingerprint
        self.encoder_fingerprint = fingerprint
        self.blocks = Blocks()

    @property
    def before_block(self) -> Callable[[], object]:
        """See `Predictor.before_block`."""
        return self.blocks.go_on

    @before_block.setter
    def before_block(self, go_on: Callable[[], object]) -> None:
        self.blocks.go_on = go_on

    @property
    def memory_layer(self) -> AttentionLayer | None:
        """The attention of the encoder that remembered cases are mixed into; None without one.

        It lies two thirds of the way through the encoder's blocks, as in Memorizing SAM.
        """
        return None

    @abstractmethod
    def normalise(self, crop: Floats, inside: Inside) -> Tensor:
        """See `Predictor.normalise`: gives (1, 1, S, S, S) on the device."""

    @abstractmethod
    def encode(self, image: Tensor) -> Any:
        """Encode (1, 1, S, S, S) normalised; gives an object with `.embedding` (1, C, 8, 8, 8)."""

    @abstractmethod
    def features(self, encoded: Any) -> tuple[Floats, Floats]:
        """Return what was encoded as arrays that can be remembered and compared.

        Parameters
        ----------
        encoded
            What `encode` gave.

        Returns
        -------
        tuple of ndarray of float32
            (S/4, S/4, S/4, C) and (S/8, S/8, S/8, C), axes towards R, A, S.
        """

    @abstractmethod
    def decode(
        self,
        embedding: Any,
        points: Tensor,
        labels: Tensor,
        previous_logits: Tensor | None = None,
        box: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode prompts at low resolution.

        Parameters
        ----------
        embedding
            What `encode` gave.
        points, labels : Tensor
            (1, N, 3) crop indices, and (1, N): 1 positive, 0 negative.
        previous_logits : Tensor, optional
            (1, 1, S/4, S/4, S/4) of the step before.
        box : Tensor, optional
            (1, 2, 3) lowest and highest corner, crop indices, both inside.

        Returns
        -------
        tuple of Tensor
            Logits (1, 1, S/4, S/4, S/4) and predicted IoU (1, 1).
        """

    @abstractmethod
    def segment(
        self,
        encoded: Any,
        points: Floats,
        labels: NDArray[np.int64],
        box: Floats | None,
        previous: Floats | None,
    ) -> Segmentation:
        """See `Predictor.segment`."""

    def first_click(self, encoded: Any, point: Floats, afar: Floats | None) -> Segmentation:
        """See `Predictor.first_click`."""
        return self.segment(encoded, point, np.ones(1, dtype=np.int64), None, afar)

    def _ask_before_blocks(self, network: nn.Module) -> None:
        """Let `before_block` be called before each module of ours in a network, and its parts."""
        for module in network.modules():
            if type(module).__module__.startswith(_PACKAGE):
                module.register_forward_pre_hook(self.blocks.ask)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
