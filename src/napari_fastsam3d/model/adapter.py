"""An adapter on its own: what it is for, what it was fitted on, and its file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from napari_fastsam3d.errors import AdapterError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.model.adaptation import (
    AdaptedNetwork,
    AdapterConfig,
    is_of_encoder,
    with_adapter,
)
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.checked_table import checked
from napari_fastsam3d.model.checkpoint import misfits, read_tensors
from napari_fastsam3d.model.predictor import Predictor

_FORMAT = "napari-fastsam3d adapter 1"


@dataclass(frozen=True)
class Gain:
    """What an adapter was worth on cases that it was not fitted on.

    Attributes
    ----------
    clicks : tuple of int
        Numbers of clicks; 0 is without a prompt.
    plain, adapted : tuple of float or None
        Mean Dice after so many, of the model alone and adapted; the model alone has none without
        a prompt.
    cases : int
        How many it was measured on.
    folds : int
        Of a cross-validation by patient; as many as patients where each was left out by itself.
    plain_hd95, adapted_hd95 : tuple of float or None
        The same for the 95th percentile of the distance between surfaces, mm.
    """

    clicks: tuple[int, ...]
    plain: tuple[float | None, ...]
    adapted: tuple[float | None, ...]
    cases: int
    folds: int
    plain_hd95: tuple[float | None, ...] = ()
    adapted_hd95: tuple[float | None, ...] = ()

    @property
    def mean(self) -> float:
        """By how much Dice grew, over the numbers of clicks that both were measured at."""
        pairs = zip(self.plain, self.adapted, strict=True)
        each = [b - a for a, b in pairs if a is not None and b is not None]
        return sum(each) / max(1, len(each))

    def __str__(self) -> str:
        return self._told(self.plain, self.adapted, 3)

    @property
    def of_surfaces(self) -> str:
        """What the distances between surfaces were, in mm."""
        return self._told(self.plain_hd95, self.adapted_hd95, 1)

    def _told(
        self, plain: tuple[float | None, ...], adapted: tuple[float | None, ...], digits: int
    ) -> str:
        told = [
            f"{n} {'click' if n == 1 else 'clicks'} {_number(a, digits)} -> {_number(b, digits)}"
            for n, a, b in zip(self.clicks, plain, adapted, strict=True)
        ]
        return ", ".join(told)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


@dataclass(frozen=True, eq=False)
class Adapter:
    """A few weights fitted to one structure.

    Attributes
    ----------
    structure : str
        As the user calls it.
    config : AdapterConfig
        What it consists of.
    model, model_name : str
        Fingerprint and name of the model that it was fitted to; it fits no other.
    spacing : float or None
        Size in mm of a crop voxel at which it looks; None leaves that to the model.
    cases : int
        How many it was fitted on.
    gain : Gain or None
        None where that was not measured.
    date : str
        Day on which it was fitted, ISO 8601.
    tensors : dict of str to Tensor
        Its weights.
    version : int
        Its number among those of the structure; 0 for one that was not kept yet.
    """

    structure: str
    config: AdapterConfig
    model: str
    model_name: str
    spacing: float | None
    cases: int
    gain: Gain | None
    tensors: dict[str, Tensor] = field(repr=False)
    date: str = field(default_factory=lambda: date.today().isoformat())
    version: int = 0

    @property
    def identity(self) -> str:
        """What tells its weights from others: the first half of a SHA-256, hexadecimal."""
        digest = sha256(self.model.encode())
        for name, value in sorted(self.tensors.items()):
            digest.update(name.encode() + value.float().contiguous().numpy().tobytes())
        return digest.hexdigest()[:32]

    def numbered(self, version: int) -> "Adapter":
        """Return it as a version of its structure."""
        return replace(self, version=version)

    @property
    def adapts_encoder(self) -> bool:
        """Whether crops are encoded for this structure alone."""
        return any(map(is_of_encoder, self.tensors))

    @classmethod
    def of(cls, adapted: AdaptedNetwork, **told: Any) -> "Adapter":
        """Take the weights out of an adapted network; `told` is what else is known."""
        tensors = {n: p.detach().float().cpu().clone() for n, p in adapted.parameters.items()}
        return cls(tensors=tensors, **told)

    def fitted_to(self, predictor: Predictor) -> BasePredictor:
        """Return a predictor with the adapter, which shares the weights of the one given.

        Raises
        ------
        AdapterError
            If it was fitted to another model.
        """
        if not isinstance(predictor, BasePredictor) or predictor.fingerprint != self.model:
            raise AdapterError(
                f"The adapter for {self.structure} was fitted to {self.model_name}, whose weights "
                f"are not those of {predictor.name}.",
                "Choose that model, or fit it anew.",
            )
        adapted = AdaptedNetwork(predictor, self.config)
        own = adapted.parameters
        if faults := misfits(own, self.tensors):
            raise AdapterError(
                f"The adapter for {self.structure} does not fit: {'; '.join(faults[:3])}.",
                "Fit it anew.",
            )
        with torch.no_grad():
            for name, value in self.tensors.items():
                own[name].copy_(value)
        adapted.network.requires_grad_(False)
        return with_adapter(predictor, adapted, self.identity if self.adapts_encoder else None)

    def save(self, path: Path) -> None:
        """Write it to a file, all or nothing."""
        told = {key: value for key, value in vars(self).items() if key not in ("tensors", "config")}
        told["gain"] = None if self.gain is None else asdict(self.gain)
        metadata = {
            "format": _FORMAT,
            "config": json.dumps(asdict(self.config)),
            "adapter": json.dumps(told),
        }
        tensors = {name: value.contiguous() for name, value in self.tensors.items()}
        with replacing(path, ".safetensors") as temporary:
            Path(temporary).write_bytes(save(tensors, metadata))

    @classmethod
    def read(cls, path: Path) -> "Adapter":
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            If it can't be read.
        AdapterError
            If it is no adapter.
        """
        tensors, metadata = read_tensors(path)
        try:
            if metadata["format"] != _FORMAT:
                raise ValueError
            config, told = parse_json(metadata["config"]), parse_json(metadata["adapter"])
            told["gain"] = None if told["gain"] is None else _gain_of(told["gain"])
            told["config"] = AdapterConfig(**checked(AdapterConfig, config))
            return cls(tensors=tensors, **checked(cls, told))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AdapterError(
                f"{path.name} holds no adapter of this version.", "Fit one: napari-fastsam3d adapt."
            ) from error


def _gain_of(told: Mapping[str, Any]) -> Gain:
    gain = Gain(**checked(Gain, told))
    if len({len(each) for each in (gain.clicks, gain.plain, gain.adapted)}) > 1:
        raise ValueError
    return gain
