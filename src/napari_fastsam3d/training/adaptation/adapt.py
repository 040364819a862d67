"""Adapting a model to a structure, from Python: one call."""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from os import PathLike
from pathlib import Path

from napari_fastsam3d.errors import AdapterError
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.model import load_model
from napari_fastsam3d.model.adaptation import KINDS, AdapterConfig, Kind
from napari_fastsam3d.model.adapter_store import AdapterStore
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.training.adaptation.cases import TeachingCase, remembered_teaching_cases
from napari_fastsam3d.training.adaptation.outcome import Outcome, TeachingOptions
from napari_fastsam3d.training.adaptation.teaching import Teaching

Tell = Callable[[str, int, int], object]
"""Told what is being done, how many parts are done, and of how many."""


def adapt(
    structure: str,
    bank: MemoryBank | None = None,
    *,
    kind: Kind = "bottleneck",
    cases: Sequence[TeachingCase] | None = None,
    model: str | PathLike[str] | BasePredictor = "default",
    device: str = "auto",
    options: TeachingOptions | None = None,
    store: AdapterStore | None = None,
    folder: Path | None = None,
    tell: Tell | None = None,
) -> Outcome:
    """Fit a few weights of the model to a structure, and keep them if they help.

    Cases are left out in turn, by patient, to see what an adapter is worth; it is kept, and used
    from now on, where it makes masks better there. It takes some minutes, and goes on where it was
    stopped.

    Parameters
    ----------
    structure : str
        As it is called in the memory, or as objects are to be called.
    bank : MemoryBank, optional
        Where parts of scans were kept of it; by default your own.
    kind : "bottleneck", "norm" or "lora"
        What is fitted; see `Kind`.
    cases : sequence of TeachingCase, optional
        Labelled scans, in place of a bank; see `labelled_teaching_cases`.
    model : str, path or BasePredictor
    device : str
    options : TeachingOptions, optional
        More than the kind.
    store : AdapterStore, optional
        Where it is kept; by default your own.
    folder : path, optional
        Where unfinished work is kept; by default in the store.
    tell : callable, optional

    Returns
    -------
    Outcome
        The adapter, and whether it helps; only then it was kept.

    Raises
    ------
    AdapterError
        If there are too few cases, or the kind is unknown.
    MemoryBankError
        If the structure is not among the remembered cases.
    """
    if kind not in KINDS:
        raise AdapterError(f"There is no kind {kind!r}.", f"Choose one of {', '.join(KINDS)}.")
    if cases is None:
        cases = remembered_teaching_cases(bank or MemoryBank(), structure)
    store = store or AdapterStore()
    options = options or TeachingOptions(AdapterConfig(kind))
    work = folder or work_folder(store, structure, cases)
    outcome = Teaching(structure, cases, _loaded(model, device), options, work).run(tell)
    return finished(outcome, store, work)


def _loaded(model: str | PathLike[str] | BasePredictor, device: str) -> BasePredictor:
    if isinstance(model, BasePredictor):
        return model
    return load_model(model if isinstance(model, str) else Path(model), device=device)


def work_folder(store: AdapterStore, structure: str, cases: Sequence[TeachingCase]) -> Path:
    """Return where unfinished work on a structure with certain cases is kept."""
    told = json.dumps([structure, *(case.name for case in cases)])
    return store.path / ".unfinished" / sha256(told.encode()).hexdigest()[:16]


def finished(outcome: Outcome, store: AdapterStore, work: Path) -> Outcome:
    """Keep an adapter that helps, and clear away the unfinished work."""
    adapter = store.add(outcome.adapter) if outcome.helps else outcome.adapter
    for path in work.glob("teaching.*"):
        path.unlink(missing_ok=True)
    if work.is_dir() and not any(work.iterdir()):
        work.rmdir()
    return Outcome(adapter, outcome.helps)
