"""Layers that are added to a viewer while the user goes on with another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Layer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.viewer import Viewer


def add_unselected(viewer: Viewer | ViewerModel, layer: Layer) -> None:
    """Add a layer and leave selected what is; where nothing is, napari selects it.

    napari selects each layer that is added, which takes the tool from the user's hand until that
    is undone. Nobody hears of either, for in the end nothing has changed.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    layer : Layer
    """
    selection = viewer.layers.selection
    chosen = set(selection)
    if not chosen:
        viewer.layers.append(layer)
        return
    with selection.events.active.blocker():
        viewer.layers.append(layer)
        selection.intersection_update(chosen)
        selection.update(chosen)
