"""Masks of adapted structures without a prompt, as objects of a session."""

from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.inference.automatic import (
    AutomaticMask,
    AutomaticStructure,
    segment_automatically,
)
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import MaskPrompt
from napari_fastsam3d.inference.recall_prompts import WithAdapter
from napari_fastsam3d.model.predictor import always
from napari_fastsam3d.session.model_runner import Interrupted, ModelRunner
from napari_fastsam3d.session.object_commands import ObjectCommands
from napari_fastsam3d.session.prompt_actions import AddAutomatic
from napari_fastsam3d.session.scheduler import Scheduler
from napari_fastsam3d.session.state import SessionState


class AutomaticCommands(ObjectCommands):
    """The commands about adapted structures; see `Commands`."""

    def segment_automatically(
        self, structures: Sequence[str] | None = None
    ) -> Future[tuple[AutomaticMask, ...]]:
        """Segment adapted structures without a prompt, each as an object of its own.

        The crops that the model looks at are encoded once for all of them. What is found is to be
        accepted, corrected by clicks, or removed; each is a step of undo.

        Parameters
        ----------
        structures : sequence of str, optional
            As they are called where they were adapted; by default all.

        Returns
        -------
        tuple of AutomaticMask
            One for each structure; of an empty one no object is made.

        Raises
        ------
        AdapterError
            If one is not adapted, or to another model.
        """
        if isinstance(structures, str) or (structures is not None and not structures):
            raise SessionError("No structures are named.", 'Give a list: ["liver", "spleen"].')
        self._scheduler.check_open()
        return self._scheduler.thread.submit(_segmented, self._scheduler, structures)


def _segmented(scheduler: Scheduler, structures: Sequence[str] | None) -> tuple[AutomaticMask, ...]:
    """Find structures and begin objects with them; in the model thread."""
    request = scheduler.pending.new(0)
    runner = scheduler.runner
    if not isinstance(runner, ModelRunner):
        raise SessionError("The model computes on a server.", "Choose one that computes here.")
    predictor = runner.ready().predictor
    asked = scheduler.adapters.asked_for(structures, predictor.fingerprint)
    named = [
        AutomaticStructure(each.structure, each.fitted_to(predictor), each.spacing)
        for each in asked
    ]

    def go_on() -> None:
        if scheduler.closed or scheduler.pending.is_cancelled(request):
            raise Interrupted

    progress = scheduler.signals.report_progress
    predictor.before_block = go_on
    try:
        found = segment_automatically(scheduler.volume, predictor, named, progress, go_on)
    finally:
        predictor.before_block = always
    for each, adapter in zip(found, asked, strict=True):
        if not each.mask.is_empty:
            packed = PackedMask.of(each.mask)
            said = WithAdapter(each.name, adapter.identity)
            scheduler.do(partial(_begun, each.name, packed, said))
    return tuple(found)


def _begun(name: str, mask: PackedMask, adapter: WithAdapter, state: SessionState) -> AddAutomatic:
    prompt = MaskPrompt(state.next_prompt, mask)
    return AddAutomatic(state.next_object, name, prompt, adapter)
