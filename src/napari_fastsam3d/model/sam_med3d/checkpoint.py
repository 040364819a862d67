"""From published files to a network: its architecture, which part from where, a strict fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model.checkpoint import misfits
from napari_fastsam3d.model.sam_med3d.checkpoint_file import PARTS, PublishedFile
from napari_fastsam3d.model.sam_med3d.checkpoint_keys import network_tensors, published_tensors
from napari_fastsam3d.model.sam_med3d.image_encoder import Mixing, ViTConfig
from napari_fastsam3d.model.sam_med3d.mask_decoder import DecoderConfig
from napari_fastsam3d.model.sam_med3d.network import (
    ARCHITECTURES,
    PublishedConfig,
    PublishedNetwork,
)

_ENCODER = "image_encoder."
_DIGITS = 3  # of the number of a block
_ESSENTIAL = (
    _ENCODER + "pos_embed",
    _ENCODER + "patch_embed.proj.weight",
    _ENCODER + "neck.0.weight",
    _ENCODER + "blocks.0.mlp.lin1.weight",
)


@dataclass(frozen=True)
class Provenance:
    """Which file a part of a model came from.

    Attributes
    ----------
    part : str
        One of `PARTS`.
    file : str
        The file's name.
    sha256 : str
        Of that file.
    """

    part: str
    file: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.part.replace('_', ' ')} from {self.file} (SHA-256 {self.sha256[:12]})"


@dataclass(frozen=True)
class Assembly:
    """A whole model, put together from one or two files.

    Attributes
    ----------
    architecture : str
        A name of `ARCHITECTURES`.
    tensors : mapping of str to Tensor
        By the authors' names, in their shapes; they fit the architecture.
    provenance : tuple of Provenance
        One entry a part.
    """

    architecture: str
    tensors: Mapping[str, Tensor]
    provenance: tuple[Provenance, ...]


def assemble(files: Sequence[PublishedFile], architecture: str | None = None) -> Assembly:
    """Take each part of a model from the first file that has it, and check that all fits.

    Parameters
    ----------
    files : sequence of PublishedFile
        The main file; and where that holds an encoder alone, one with the other parts.
    architecture : str, optional
        What keys and shapes cannot tell; see `read_architecture`.

    Raises
    ------
    CheckpointError
        When a part is in no file, or when keys are missing, unknown or misshaped: it names them.
    """
    names = ", ".join(file.path.name for file in files)
    if not files[0].parts:
        raise _foreign(files[0])
    provenance = tuple(_provenance(part, files) for part in PARTS)
    tensors: dict[str, Tensor] = {}
    for part, origin in zip(PARTS, provenance, strict=True):
        file = next(file for file in files if file.sha256 == origin.sha256)
        tensors |= file.of_part(part)
    tensors |= {key: files[0].tensors[key] for key in files[0].stray}
    name, config = read_architecture(tensors, architecture)
    with torch.device("meta"):
        wanted = published_tensors(PublishedNetwork(config))
    if faults := misfits(wanted, tensors):
        raise CheckpointError(
            f"{names} does not fit {name}: {'; '.join(faults)}.",
            f"Give a file of {' or '.join(ARCHITECTURES)}, or another architecture.",
        )
    return Assembly(name, tensors, provenance)


def _foreign(file: PublishedFile) -> CheckpointError:
    keys = list(file.tensors)
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return CheckpointError(
        f"{file.path.name} holds another network: {', '.join(keys[:4])}{more}, and nothing of "
        f"{', '.join(PARTS)}.",
        f"Give a checkpoint of {' or '.join(ARCHITECTURES)}.",
    )


def _provenance(part: str, files: Sequence[PublishedFile]) -> Provenance:
    for file in files:
        if part in file.parts:
            return Provenance(part, file.path.name, file.sha256)
    missing = [p.replace("_", " ") for p in PARTS if all(p not in file.parts for file in files)]
    raise CheckpointError(
        f"{files[0].path.name} holds no {' and no '.join(missing)}.",
        "Name a second file that has the rest, such as sam_med3d_turbo.pth: "
        "napari-fastsam3d models import FILE --rest OTHER.",
    )


def read_architecture(
    tensors: Mapping[str, Tensor], architecture: str | None = None
) -> tuple[str, PublishedConfig]:
    """Read off keys and shapes which network weights belong to.

    Depth, widths, heads, windows and blocks without attention are read. What cannot be: whether
    the skip connections are the student's, which is taken from its blocks without attention; and
    whether attention goes by groups, which only `architecture` can say.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        By the authors' names.
    architecture : str, optional
        A name of `ARCHITECTURES`.

    Returns
    -------
    tuple of str and PublishedConfig
        The architecture's name, and its configuration with the sizes of these weights.

    Raises
    ------
    CheckpointError
        When the name is unknown, or the weights are of another architecture.
    """
    if architecture is not None and architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"There is no architecture {architecture!r}.",
            f"Choose one of {', '.join(ARCHITECTURES)}.",
        )
    if any(key not in tensors for key in _ESSENTIAL):
        # The sizes can't be read; against the full size the strict fit names what is missing.
        name = architecture or "fastsam3d"
        return name, ARCHITECTURES[name]
    mixing = _mixing(tensors)
    seen = "fastsam3d" if "none" in mixing else "sam-med3d"
    name = architecture or seen
    likeness = ARCHITECTURES[name].encoder
    if ("none" in likeness.mixing) != ("none" in mixing):
        raise CheckpointError(
            f"These are weights of {seen}, not of {name}: in {name} "
            f"{'some blocks have no' if 'none' in likeness.mixing else 'every block has'} "
            "attention.",
            f"Load them as {seen}, or without naming an architecture.",
        )
    if "grouped" in likeness.mixing:
        mixing = tuple("none" if kind == "none" else "grouped" for kind in mixing)
    encoder = replace(likeness, mixing=mixing, **_encoder_sizes(tensors, likeness))
    return name, PublishedConfig(encoder, _decoder(tensors, encoder.out_width))


def _blocks(tensors: Mapping[str, Tensor], stem: str) -> int:
    numbers = [key[len(stem) :].partition(".")[0] for key in tensors if key.startswith(stem)]
    # Larger ones are none of a network, and are named as unknown.
    return 1 + max((int(n) for n in numbers if n.isdecimal() and len(n) <= _DIGITS), default=-1)


def _table(tensors: Mapping[str, Tensor], block: int) -> Tensor | None:
    return tensors.get(f"{_ENCODER}blocks.{block}.attn.rel_pos_d")


def _mixing(tensors: Mapping[str, Tensor]) -> tuple[Mixing, ...]:
    grid = tensors[_ESSENTIAL[0]].shape[1]
    return tuple(_mixing_of(_table(tensors, i), grid) for i in _range(tensors))


def _range(tensors: Mapping[str, Tensor]) -> range:
    return range(_blocks(tensors, f"{_ENCODER}blocks."))


def _mixing_of(table: Tensor | None, grid: int) -> Mixing:
    if table is None:
        return "none"
    return "padded" if table.shape[0] > 2 * grid - 1 else "global"


def _encoder_sizes(tensors: Mapping[str, Tensor], likeness: ViTConfig) -> dict[str, int]:
    position, patch, neck, hidden = (tensors[key] for key in _ESSENTIAL)
    width = position.shape[-1]
    tables = [table for i in _range(tensors) if (table := _table(tensors, i)) is not None]
    rows = max((table.shape[0] for table in tables), default=0)
    padded = rows > 2 * position.shape[1] - 1
    head_width = tables[0].shape[1] if tables else width // likeness.heads
    return {
        "width": width,
        "heads": width // head_width,
        "hidden": hidden.shape[0],
        "out_width": neck.shape[0],
        "grid": position.shape[1],
        "patch": patch.shape[-1],
        "window": (rows + 1) // 2 if padded else likeness.window,
    }


def _decoder(tensors: Mapping[str, Tensor], width: int) -> DecoderConfig:
    usual = DecoderConfig(width=width)
    layers = "mask_decoder.transformer.layers."

    def rows(key: str, otherwise: int) -> int:
        return tensors[key].shape[0] if key in tensors else otherwise

    return replace(
        usual,
        depth=_blocks(tensors, layers) or usual.depth,
        hidden=rows(f"{layers}0.mlp.lin1.weight", usual.hidden),
        masks=rows("mask_decoder.mask_tokens.weight", usual.masks),
        iou_hidden=rows("mask_decoder.iou_prediction_head.layers.0.weight", usual.iou_hidden),
    )


def build_network(
    tensors: Mapping[str, Tensor], architecture: str | None = None
) -> tuple[str, PublishedNetwork]:
    """Make a network of weights that `assemble` found to fit, by the authors' names.

    Returns
    -------
    tuple of str and PublishedNetwork
        The architecture's name, and the network in float32 on the CPU, for inference.
    """
    name, config = read_architecture(tensors, architecture)
    with torch.device("meta"):
        network = PublishedNetwork(config)
    whole = {k: v.float().contiguous() for k, v in network_tensors(network, tensors).items()}
    network.load_state_dict(whole, assign=True)
    return name, network.eval().requires_grad_(False)
