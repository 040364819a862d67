"""FastSAM3D and SAM-Med3D as predictors."""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.cuda_graph import note_without
from napari_fastsam3d.model.device import PinnedBuffers
from napari_fastsam3d.model.layers.attention import AttentionLayer, attention_choice
from napari_fastsam3d.model.layers.linear import lower_linears, pack_linears
from napari_fastsam3d.model.layers.token_attention import fold_few_tokens
from napari_fastsam3d.model.normalisation import Inside
from napari_fastsam3d.model.predictor import Floats, Segmentation
from napari_fastsam3d.model.sam_med3d.checkpoint import Provenance
from napari_fastsam3d.model.sam_med3d.image_encoder import GlobalAttention, ViTBlock
from napari_fastsam3d.model.sam_med3d.network import PublishedNetwork
from napari_fastsam3d.model.sam_med3d.runner import (
    EagerRunner,
    Encoded,
    GraphRunner,
    z_normalised,
)

T = TypeVar("T")

BOX_MARGIN = 0.1
"""Part of a box's side by which a mask may pass it."""
_OUTSIDE = -10.0
_CELL = 4


class PublishedPredictor(BasePredictor):
    """Runs a `PublishedNetwork`: the new point of each step, the mask of the step before fed back.

    The weights were trained at 1.5 mm. A crop at 1 mm shows a small structure half as large again,
    2.25 and 3 mm take in what 192 mm do not hold; steps of one and a half keep close to what the
    network has seen.

    There is no box prompt in these models. A box is emulated: a positive point at its centre, and
    the mask kept to the box with a margin of a tenth of its sides. The crop should be placed and
    scaled by the box, which is what a session does.

    On a CPU bfloat16 is used in the linear layers of the image encoder alone, which is where the
    time goes; the decoder stays in float32.

    Parameters
    ----------
    network : PublishedNetwork
        In float32 on the CPU; it becomes the predictor's own.
    name : str
        Its name in the zoo, or its file's name.
    device, dtype
        Where it computes, and in which precision.
    fingerprint : str
        SHA-256 of the weights, hexadecimal.
    provenance : tuple of Provenance
        Which part came from which file.

    Attributes
    ----------
    notes : tuple of str
        What could not be had of this device, a sentence each.
    """

    spacings = (1.0, 1.5, 2.25, 3.0)
    start_spacing = 1.5
    feeds = "single"
    accepts_boxes = False

    def __init__(
        self,
        network: PublishedNetwork,
        name: str,
        device: torch.device,
        dtype: torch.dtype,
        fingerprint: str,
        provenance: tuple[Provenance, ...] = (),
    ) -> None:
        super().__init__(name, device, dtype, fingerprint)
        self.crop_size = network.config.encoder.crop_size
        self.provenance = provenance
        self.notes: tuple[str, ...] = ()
        self.network = network.eval().requires_grad_(False)
        if dtype != torch.float32:
            lower_linears(self.network.image_encoder, dtype)
        fold_few_tokens(self.network.mask_decoder.transformer)
        if device.type == "cpu":
            pack_linears(self.network.image_encoder)
            self.network.mask_decoder.pack()
        self._buffers = PinnedBuffers(device)
        self._runner = EagerRunner(self.network)
        self._settle()
        self._ask_before_blocks(self.network)

    def use_network(self, network: PublishedNetwork) -> None:
        """Run another network of the same architecture, ready for this device; see `adapted`."""
        self.network = network
        self._runner = EagerRunner(network)
        if self.device.type == "cuda":
            self._settle()

    @property
    def how(self) -> str:
        """How it computes, in a few words, for `doctor` and `bench`."""
        precision = str(self.dtype).removeprefix("torch.")
        graphs = ", CUDA graphs" if isinstance(self._runner, GraphRunner) else ""
        return f"{self.device}, {precision}{graphs}, {attention_choice(self.device)}"

    @property
    def memory_layer(self) -> AttentionLayer | None:
        """See `BasePredictor.memory_layer`; a captured graph can't be given other keys."""
        blocks = self.network.image_encoder.blocks
        layer = cast(ViTBlock, blocks[2 * len(blocks) // 3]).attn
        captured = isinstance(self._runner, GraphRunner)
        return layer if isinstance(layer, GlobalAttention) and not captured else None

    def normalise(self, crop: Floats, inside: Inside) -> Tensor:
        """Normalise by mean and deviation of the positive voxels, zero padded; see `z_normalised`.

        The crop is raw intensities (S, S, S); on a GPU the work is done there.
        """
        return self._surely(lambda: self._normalised(crop, inside))

    def encode(self, image: Tensor) -> Encoded:
        """Encode (1, 1, S, S, S) normalised intensities; gives `.embedding` (1, C, 8, 8, 8)."""
        return self._surely(lambda: self._runner.encode(image.to(self.device, torch.float32)))

    def features(self, encoded: Encoded) -> tuple[Floats, Floats]:
        """Interpolate the embedding to S/4 and S/8; see `BasePredictor.features`."""
        quarter, eighth = (
            F.interpolate(encoded.embedding, scale_factor=factor, mode="trilinear")
            for factor in (4, 2)
        )
        fine, coarse = (x[0].movedim(0, -1).cpu().numpy() for x in (quarter, eighth))
        return fine, coarse

    def decode(
        self,
        embedding: Encoded | Tensor,
        points: Tensor,
        labels: Tensor,
        previous_logits: Tensor | None = None,
        box: Tensor | None = None,
        multimask: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Decode prompts; see `Predictor.decode`.

        Parameters
        ----------
        embedding
            What `encode` gave, or its tensor (1, C, 8, 8, 8).
        points, labels : Tensor
            (1, N, 3) crop indices in array order, and (1, N): 1 positive, 0 negative. There may
            be none.
        previous_logits : Tensor, optional
            (1, 1, S/4, S/4, S/4) of the step before; none is a mask of zeros, as in training.
        box : Tensor, optional
            (1, 2, 3) lowest and highest corner, crop indices, both inside; emulated.
        multimask : bool
            Whether to give three guesses, (1, 3, ...) and (1, 3), instead of one.
        """
        if box is not None:
            points = torch.cat([points, box.mean(1, keepdim=True).to(points)], dim=1)
            labels = torch.cat([labels, labels.new_ones(1, 1)], dim=1)
        logits, predicted_iou = self._surely(
            lambda: self._decoded(embedding, points, labels, previous_logits, multimask)
        )
        return (logits if box is None else constrained_to_box(logits, box)), predicted_iou

    def segment(
        self,
        encoded: Encoded,
        points: Floats,
        labels: NDArray[np.int64],
        box: Floats | None,
        previous: Floats | None,
    ) -> Segmentation:
        """Answer one step of interaction; see `Predictor.segment`.

        Mask logits are the low-resolution ones.
        """
        logits, predicted_iou = self.decode(
            encoded,
            torch.from_numpy(np.asarray(points, np.float32).reshape(1, -1, 3)),
            torch.from_numpy(np.asarray(labels, np.int64).reshape(1, -1)),
            None if previous is None else torch.from_numpy(previous)[None, None],
            None if box is None else torch.from_numpy(box)[None],
        )
        logits, predicted_iou = self._buffers.fetch(logits[0, 0], predicted_iou[0, 0])
        return Segmentation(logits, logits, float(np.clip(predicted_iou, 0, 1)))

    def _normalised(self, crop: Floats, inside: Inside) -> Tensor:
        raw = self._buffers.bring(crop)
        if not all(planes.all() for planes in inside):
            a, b, c = (self._buffers.bring(planes) for planes in inside)
            raw = torch.where(a[:, None, None] & b[:, None] & c, raw, 0.0)
        return z_normalised(raw)[None, None]

    def _decoded(
        self,
        embedding: Encoded | Tensor,
        points: Tensor,
        labels: Tensor,
        previous: Tensor | None,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        if isinstance(embedding, Tensor):
            encoded = self._runner.precompute(embedding.to(self.device, torch.float32))
        else:
            encoded = embedding.to(self.device)
        if points.shape[1]:  # the authors' code appends a padding point to any others
            points = torch.cat([points, points.new_zeros(1, 1, 3)], dim=1)
            labels = torch.cat([labels, labels.new_full((1, 1), -1)], dim=1)
        if previous is None:
            size = self.crop_size // _CELL
            previous = torch.zeros(1, 1, size, size, size)
        return self._runner.decode(
            encoded.precomputed,
            points.to(self.device, torch.float32),
            labels.to(self.device, torch.long),
            previous.to(self.device, torch.float32),
            multimask,
        )

    def _settle(self) -> None:
        """Move to the device, and record graphs where it is a GPU."""
        try:
            self.network.to(self.device)
            if self.device.type == "cuda":
                with torch.cuda.device(self.device):
                    self._record_graphs()
        except torch.OutOfMemoryError:
            self._retreat()

    def _record_graphs(self) -> None:
        try:
            with torch.inference_mode():
                self._runner = GraphRunner(self.network)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._note(note_without(error))

    def _surely(self, work: Callable[[], T]) -> T:
        """Do some work, on the CPU if the device's memory does not suffice."""
        try:
            with torch.inference_mode():
                return work()
        except torch.OutOfMemoryError:
            if self.device.type == "cpu":
                raise
            self._retreat()
        with torch.inference_mode():
            return work()

    def _retreat(self) -> None:
        self._note(f"{self.device} has too little memory; going on with the CPU.")
        self.device = torch.device("cpu")
        self._buffers = PinnedBuffers(self.device)
        self._runner = EagerRunner(self.network.to(self.device))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _note(self, note: str) -> None:
        self.notes = (*self.notes, note)


def constrained_to_box(logits: Tensor, box: Tensor) -> Tensor:
    """Keep a mask to a box with a margin.

    Parameters
    ----------
    logits : Tensor
        (1, M, s, s, s) over a crop of (4 s)^3 voxels.
    box : Tensor
        (1, 2, 3) lowest and highest corner, crop indices, both inside.

    Returns
    -------
    Tensor
        The logits, at most -10 in cells that lie outside the box grown by a tenth of its sides.
    """
    corners = box[0].to(logits.device, torch.float32)
    margin = (BOX_MARGIN * (corners[1] - corners[0] + 1)).clamp(min=1)
    low, high = corners[0] - margin, corners[1] + margin
    first = torch.arange(logits.shape[-1], device=logits.device) * _CELL  # of each cell's voxels
    meets = (first[:, None] + _CELL - 1 >= low) & (first[:, None] <= high)  # (s, 3)
    a, b, c = meets.unbind(1)
    inside = a[:, None, None] & b[:, None] & c
    return torch.where(inside, logits, logits.clamp(max=_OUTSIDE))
