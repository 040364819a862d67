"""Teaching the model a structure: fit by fold, measure what was left out, fit on all, or give up.

It is done in small pieces, so that a click need not wait for long, and what is done is kept on the
disk, so that a stop costs less than a minute.
"""

import json
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_fastsam3d.errors import AdapterError
from napari_fastsam3d.model.adaptation import with_adapter
from napari_fastsam3d.model.adapter import Adapter
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.predictor import GoOn, ModelIdentity, always
from napari_fastsam3d.session.model_runner import Interrupted
from napari_fastsam3d.session.model_thread import ModelThread
from napari_fastsam3d.training.adaptation.case_views import (
    Extent,
    extent_of,
    view_maker,
    views_of,
)
from napari_fastsam3d.training.adaptation.cases import TeachingCase, folds_of
from napari_fastsam3d.training.adaptation.learner import Learner
from napari_fastsam3d.training.adaptation.measure import FittedAdapter, Scores, scores_by_clicks
from napari_fastsam3d.training.adaptation.outcome import (
    FEWEST,
    HELPS,
    Outcome,
    TeachingOptions,
    gain_of,
)
from napari_fastsam3d.training.adaptation.view import View

_SAVED_EVERY = 20.0
_STATE = "teaching.pt"


class Teaching:
    """The work of teaching a structure, piece by piece.

    Parameters
    ----------
    structure : str
    cases : sequence of TeachingCase
    predictor : BasePredictor
    options : TeachingOptions
    folder : Path, optional
        Where what is done is kept; what is found there is gone on with, if it is of the same cases
        and options.

    Raises
    ------
    AdapterError
        If there are too few cases.
    """

    def __init__(
        self,
        structure: str,
        cases: Sequence[TeachingCase],
        predictor: BasePredictor,
        options: TeachingOptions | None = None,
        folder: Path | None = None,
    ) -> None:
        self.structure = structure
        self.options = options or TeachingOptions()
        if len(cases) < FEWEST:
            raise AdapterError(
                f"There are {len(cases)} cases of {structure}.", f"At least {FEWEST} are needed."
            )
        self.cases = cases
        self._predictor = predictor
        self._folder = folder
        self._folds = folds_of(cases, self.options.folds) if self.options.measured else []
        self._extents: list[Extent] = []
        self.views: list[tuple[View, ...]] = []
        self._plain: dict[int, Scores] = {}
        self._adapted: dict[int, Scores] = {}
        self._fold = 0
        self._learner: Learner | None = None
        self.outcome: Outcome | None = None
        self._saved = time.monotonic()
        self._kept = {} if folder is None else self._read()

    @property
    def progress(self) -> tuple[str, int, int]:
        """What is being done, how many parts of all are done, and of how many."""
        fits, cases, steps = len(self._folds) + 1, len(self.cases), self.options.steps
        measured = len(self._plain) + len(self._adapted)
        own = 0 if self._learner is None else self._learner.step
        done = 2 * len(self.views) + measured + self._fold * steps + own
        total = 2 * cases + (2 * cases if self._folds else 0) + fits * steps
        if self.outcome is not None:
            return "Done", total, total
        if len(self.views) < cases:
            return "Looking at the cases", done, total
        if self._fold < len(self._folds):
            return f"Trying it on cases left out ({self._fold + 1}/{len(self._folds)})", done, total
        return "Learning from all cases", done, total

    def advance(self, go_on: GoOn = always) -> bool:
        """Do one piece of the work; return whether there is more.

        `go_on` is asked between the parts of a piece, and ends it by raising; the piece is then
        done again.
        """
        if self.outcome is not None:
            return False
        self._piece(go_on)
        if time.monotonic() - self._saved > _SAVED_EVERY or self.outcome is not None:
            self._save()
        return self.outcome is None

    def advance_in(self, thread: ModelThread, wanted: Callable[[], bool]) -> bool:
        """Do one piece in a model thread; return whether there is more.

        It is given up, and done again the next time, where anything else waits for the model, or it
        is no longer wanted.
        """

        def give_way() -> None:
            if thread.has_waiting or not wanted():
                raise Interrupted

        predictor = thread.obtain_predictor()
        predictor.before_block = give_way
        try:
            return self.advance(give_way)
        except Interrupted:
            return True
        finally:
            predictor.before_block = always

    def run(self, tell: Callable[[str, int, int], object] | None = None) -> Outcome:
        """Do all of it."""
        while self.advance():
            if tell is not None:
                tell(*self.progress)
        assert self.outcome is not None
        return self.outcome

    def _piece(self, go_on: GoOn) -> None:
        if len(self._extents) < len(self.cases):
            self._extents.append(extent_of(self.cases[len(self._extents)], self._predictor))
        elif len(self.views) < len(self.cases):
            case, rng = self.cases[len(self.views)], np.random.default_rng(len(self.views))
            make = view_maker(self._predictor, self.options.config, self._extents, self._spacing)
            self.views.append(views_of(case, self._predictor, self._spacing, make, rng, go_on))
        elif self._fold == len(self._folds):
            if self._fit([*range(len(self.cases))], go_on):
                self.outcome = self._decided()
        elif waiting := [n for n in self._folds[self._fold] if n not in self._adapted]:
            taught = [n for n in range(len(self.cases)) if n not in self._folds[self._fold]]
            if self._fit(taught, go_on):
                self._measure(waiting[0], go_on)
        else:
            self._fold, self._learner = self._fold + 1, None

    @property
    def _spacing(self) -> float:
        """At which spacing it is looked at a click: that which fits most of the cases."""
        return float(np.sort([each.spacing for each in self._extents])[len(self._extents) // 2])

    def _fit(self, cases: Sequence[int], go_on: GoOn) -> bool:
        """Fit on some of the cases a step further; return whether that is done."""
        if self._learner is None:
            views = [view for n in cases for view in self.views[n]]
            chosen = self.options
            self._learner = Learner(
                self._predictor, chosen.config, views, chosen.steps, chosen.objective
            )
            if (state := self._kept.pop("learner", None)) is not None:
                self._learner.go_on_from(state)
        if not self._learner.done:
            self._learner.advance(go_on)
        return self._learner.done

    def _measure(self, number: int, go_on: GoOn) -> None:
        """Measure a case that was left out, with the model alone and adapted."""
        assert self._learner is not None
        volume, mask = self.cases[number].near()
        if number not in self._plain:
            self._plain[number] = scores_by_clicks(self._predictor, volume, mask, None, go_on)
            return
        adapted = with_adapter(self._predictor, self._learner.adapted)
        own = FittedAdapter(self.structure, self._spacing, adapted)
        self._adapted[number] = scores_by_clicks(self._predictor, volume, mask, own, go_on)

    def _decided(self) -> Outcome:
        assert self._learner is not None
        gain = gain_of(self._plain, self._adapted, len(self._folds))
        adapter = Adapter.of(
            self._learner.adapted,
            structure=self.structure,
            config=self.options.config,
            model=self._predictor.fingerprint,
            model_name=self._predictor.name,
            spacing=self._spacing,
            cases=len(self.cases),
            gain=gain,
        )
        return Outcome(adapter, gain is None or gain.mean > HELPS)

    @property
    def _key(self) -> str:
        """What tells this work from other work in the same folder."""
        told = (self.structure, asdict(self.options), [case.name for case in self.cases])
        return json.dumps((told, self._predictor.fingerprint))

    def _save(self) -> None:
        self._saved = time.monotonic()
        if self._folder is None:
            return
        state: dict[str, Any] = {
            "key": self._key,
            "fold": self._fold,
            "plain": self._plain,
            "adapted": self._adapted,
        }
        if self._learner is not None:
            state["learner"] = self._learner.state()
        elif "learner" in self._kept:  # it is not its turn yet since the work goes on
            state["learner"] = self._kept["learner"]
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / _STATE
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def _read(self) -> dict[str, Any]:
        """Go on from what was kept of the same work; return what of it is used later."""
        assert self._folder is not None
        try:
            kept = torch.load(self._folder / _STATE, weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            return {}
        if kept.get("key") != self._key:
            return {}
        self._fold, self._plain, self._adapted = kept["fold"], kept["plain"], kept["adapted"]
        return kept


def adaptable(predictor: ModelIdentity) -> BasePredictor:
    """Return a model that adapters can be fitted to; AdapterError if it is none."""
    if isinstance(predictor, BasePredictor):
        return predictor
    raise AdapterError(f"{predictor.name} can't be adapted.", "Choose the default model.")
