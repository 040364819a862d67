"""The adapters that a session uses: by the name of an object, and by their weights."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_fastsam3d.errors import AdapterError, FastSAM3DError
from napari_fastsam3d.inference.recall_prompts import WithAdapter
from napari_fastsam3d.model.predictor import ModelIdentity
from napari_fastsam3d.session.model_runner import ModelRunner, Runner
from napari_fastsam3d.session.state import ObjectState

if TYPE_CHECKING:
    from napari_fastsam3d.model.adapter import Adapter
    from napari_fastsam3d.model.adapter_store import AdapterStore

_log = logging.getLogger(__name__)


class SessionAdapters:
    """Looks adapters up in a store, each file read once.

    Attributes
    ----------
    store : AdapterStore or None
        None where objects are not segmented with adapters unless it is asked for.
    """

    def __init__(self) -> None:
        self.store: AdapterStore | None = None
        self._here = True
        self._known: dict[str, Adapter] = {}
        self._in_use: dict[tuple[Path, int], str] = {}

    def served(self, runner: Runner) -> Runner:
        """Let what makes masks here find adapters, and return it; a server has none of them."""
        self._here = isinstance(runner, ModelRunner)
        if isinstance(runner, ModelRunner):
            runner.adapters = self.find
        return runner

    def of_object(
        self, predictor: ModelIdentity | None, each: ObjectState | None
    ) -> WithAdapter | None:
        """Return the adapter in use for an object of that name; None where there is none.

        Parameters
        ----------
        predictor : ModelIdentity or None
            The model: adapters of others are passed over. None where it isn't loaded yet.
        each : ObjectState or None
            None for one that is yet to be begun, and has no name.
        """
        if not self._here or self.store is None or each is None or not each.is_named:
            return None
        identity = self._identity_in_use(self.store, each.name)
        if identity is None:
            return None
        adapter = self._known[identity]
        if predictor is not None and adapter.model != predictor.fingerprint:
            return None
        return WithAdapter(adapter.structure, identity)

    def _identity_in_use(self, store: "AdapterStore", name: str) -> str | None:
        """Read what is in use for a structure; None where nothing is, or its file is damaged."""
        path = store.file_in_use(name)
        try:
            # A version that is fitted anew, after all were removed, has the number of an old one.
            key = path and (path, path.stat().st_mtime_ns)
            if key is None:
                return None
            if key not in self._in_use:
                self._in_use[key] = self._keep(store.get(name))
            return self._in_use[key]
        except (OSError, FastSAM3DError) as error:
            _log.warning("The adapter for %s is not used: %s", name, error)
            return None

    def find(self, identity: str) -> "Adapter | None":
        """Return the adapter with certain weights, in use or not; None if it isn't there."""
        if identity not in self._known:
            found = self._opened().by_identity(identity)
            if found is None:
                return None
            self._keep(found)
        return self._known[identity]

    def asked_for(self, structures: Sequence[str] | None, model: str) -> list["Adapter"]:
        """Return the adapters in use for structures, by default all that fit a model.

        Raises
        ------
        AdapterError
            If one is missing or fits another model, or there is none at all.
        """
        store = self._opened()
        if structures is None:
            found = [each for each in store.in_use() if each.model == model]
            if not found:
                raise AdapterError(
                    "No structure is adapted for this model.", "Fit one: napari-fastsam3d adapt."
                )
        else:
            found = [store.get(name) for name in dict.fromkeys(structures)]
            if not found:
                raise AdapterError("No structure is asked for.", "Name one or more, or give none.")
        for each in found:
            if each.model != model:
                raise AdapterError(
                    f"The adapter for {each.structure} was fitted to {each.model_name}.",
                    "Choose that model, or fit it anew.",
                )
            self._keep(each)
        return found

    def _keep(self, adapter: "Adapter") -> str:
        identity = adapter.identity
        self._known[identity] = adapter
        return identity

    def _opened(self) -> "AdapterStore":
        from napari_fastsam3d.model.adapter_store import AdapterStore

        return AdapterStore() if self.store is None else self.store
