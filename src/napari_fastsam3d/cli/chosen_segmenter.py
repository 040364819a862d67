"""What `evaluate` measures: a model in one of several ways, or a classical method."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from napari_fastsam3d.evaluation import Segmenter

_ADAPTED = ("off", "clicks", "automatic")
_BASELINES = ("random-walker", "region-growing")


@contextmanager
def chosen_segmenter(
    model: str, device: str, shift: float, slice_wise: bool = False, adapted: str = "off"
) -> "Generator[Segmenter, None, None]":
    """Give what the options of `evaluate` name, as long as it is used."""
    if adapted not in _ADAPTED:
        raise typer.BadParameter(f"--adapted is one of {', '.join(_ADAPTED)}.")
    if adapted != "off" and (shift or slice_wise or model in _BASELINES):
        raise typer.BadParameter("--adapted is for a model, without --shift and --slice-wise.")
    if slice_wise and shift:
        raise typer.BadParameter("--shift moves crops of a volume; give it without --slice-wise.")
    if model in _BASELINES:
        if shift:
            raise typer.BadParameter("--shift moves what a model looks at; a baseline sees all.")
        if slice_wise:
            raise typer.BadParameter("--slice-wise is for models; a baseline has no slices.")
        from napari_fastsam3d.evaluation.baselines import random_walker, region_growing

        yield random_walker() if model == _BASELINES[0] else region_growing()
        return
    from napari_fastsam3d.evaluation import SessionSegmenter, ShiftedSegmenter, SliceWiseSegmenter
    from napari_fastsam3d.session import ModelThread

    name = Path(model).name
    with ModelThread(model, device) as thread:
        if slice_wise:
            yield SliceWiseSegmenter(f"{name}, slice-wise", thread)
            return
        if adapted != "off":
            from napari_fastsam3d.evaluation.segmenters import AdaptedSegmenter
            from napari_fastsam3d.model.adapter_store import AdapterStore

            automatic = adapted == "automatic"
            yield AdaptedSegmenter(f"{name}, adapted", thread, AdapterStore(), automatic)
            return
        yield ShiftedSegmenter(name, thread, shift) if shift else SessionSegmenter(name, thread)
