"""Which model answers for an object: the model itself, or the one adapted to its structure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from napari_fastsam3d.inference.cache import Cache
from napari_fastsam3d.inference.prompt import Prompt
from napari_fastsam3d.inference.recall_prompts import WithAdapter
from napari_fastsam3d.model.predictor import Predictor

_KEPT = 16


class Adaptation(Protocol):
    """An adapter, as `napari_fastsam3d.model.adapter.Adapter` is one."""

    @property
    def structure(self) -> str:
        """What it is fitted to."""
        ...

    @property
    def identity(self) -> str:
        """What tells its weights from others."""
        ...

    @property
    def spacing(self) -> float | None:
        """Size in mm of a crop voxel at which it looks; None leaves that to the model."""
        ...

    def fitted_to(self, predictor: Predictor) -> Predictor:
        """Return a predictor with it, which shares the weights of the one given."""
        ...


Adaptations = Callable[[str], Adaptation | None]
"""From an identity to the adapter, where there is one."""


@dataclass(frozen=True)
class AdaptedModel:
    """A model with an adapter.

    Attributes
    ----------
    predictor : Predictor
    spacing : float or None
        Size in mm of a crop voxel at which it looks at a click; None leaves that to the model.
    """

    predictor: Predictor
    spacing: float | None


class AdaptedModels:
    """Adapters put to a model, once each.

    Parameters
    ----------
    predictor : Predictor
    find : callable
        Finds an adapter by its identity.
    """

    def __init__(self, predictor: Predictor, find: Adaptations) -> None:
        self._predictor = predictor
        self._find = find
        self._known: Cache[str, AdaptedModel] = Cache(_KEPT)

    def of(self, prompts: Sequence[Prompt]) -> AdaptedModel | None:
        """Return the adapted model for prompts; None where they name no adapter.

        None as well where it is not to be found any more: the model alone answers then.

        Raises
        ------
        AdapterError
            If it was fitted to another model.
        """
        named = next((each for each in prompts if isinstance(each, WithAdapter)), None)
        return None if named is None else self.get(named.identity)

    def get(self, identity: str) -> AdaptedModel | None:
        """Return the model with an adapter; None where there is none of that identity."""
        known = self._known.get(identity)
        if known is None:
            adapter = self._find(identity)
            if adapter is None:
                return None
            known = AdaptedModel(adapter.fitted_to(self._predictor), adapter.spacing)
            self._known.put(identity, known)
        return known
