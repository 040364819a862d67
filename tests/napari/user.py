"""A user who does one random thing after another in a viewer with the widget."""

from collections.abc import Callable
from typing import Any

import numpy as np
from painter import Painter

TOOLS = ["include", "exclude", "box", "scribble", "lasso", "adjust", "brush", "erase", "freeze"]


class User:
    """Everything that the window lets a user do, in an order drawn from a seed."""

    def __init__(self, viewer: Any, widget: Any, seed: int) -> None:
        self.viewer, self.widget = viewer, widget
        self.rng = np.random.default_rng(seed)
        self.done: list[str] = []
        self.renamed = 0
        commands = ["undo", "undo", "redo", "flip_point", "next_object", "remove_object"]
        commands += ["reset_object", "toggle_mask", "toggle_crop", "lock_object"]
        mine = [self.click, self.click, self.stroke, self.stroke, self.draw_box, self.move_a_point]
        mine += [self.delete_a_point, self.move_a_box, self.turn, self.scroll, self.toggle_3d]
        mine += [self.take_a_tool, self.choose_a_mode, self.remove_a_layer, self.rename_a_layer]
        mine += [self.hide_a_layer, self.activate_a_layer, self.pick_a_label, self.layer_undo]
        mine += [self.select_an_object, self.hide_an_object, self.rename_an_object]
        mine += [self.accept, self.recolour, self.revalue, self.change_the_rule]
        commands += ["take_over", "unlock_holder", "show_change", "revert_change"]
        commands += ["smaller_candidate", "larger_candidate"]
        commands += ["next_prompt", "previous_prompt", "delete_prompt"]
        mine += [self.select_prompts, self.go_to_a_step]
        self.things: list[Callable[[], object] | str] = [*commands, *mine]

    @property
    def view(self) -> Any:
        return self.widget.view

    def act(self) -> None:
        thing = self.things[self.rng.integers(len(self.things))]
        if isinstance(thing, str):
            self.done.append(thing)
            self.widget.run(thing)
        else:
            self.done.append(thing.__name__)
            thing()

    def random(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def place(self) -> np.ndarray:
        """Choose a voxel of the slice in view, as a layer index."""
        found = self.rng.integers(0, self.view.frame.shape).astype(float)
        plane = self.view.navigation.plane()
        if plane.axis is not None:
            found[plane.axis] = np.clip(plane.position, 0, self.view.frame.shape[plane.axis] - 1)
        return found

    def click(self) -> None:
        if self.viewer.dims.ndisplay == 2:
            self.view.points.positive = self.random(0.7)
            self.view.points.layer.add(self.place())

    def stroke(self) -> None:
        layer = self.view.mask.layer
        if self.viewer.dims.ndisplay == 3 or not layer.visible:
            return
        if self.random(0.7):
            self.widget.workspace.toolbox.use("erase" if self.random(0.3) else "brush")
        layer.brush_size = int(self.rng.integers(1, 7))
        Painter(self.viewer, layer).stroke(*(self.place() for _ in range(3)))

    def draw_box(self) -> None:
        if not self.view.boxes.layer.visible:
            return
        axis = int(self.rng.integers(3))
        a, b = (i for i in range(3) if i != axis)
        corners = np.tile(self.place(), (4, 1))
        corners[1:3, a] += self.rng.integers(2, 12)
        corners[2:4, b] += self.rng.integers(2, 12)
        self.view.boxes.layer.add(corners)

    def move_a_point(self) -> None:
        layer = self.view.points.layer
        if len(layer.data):
            row = int(self.rng.integers(len(layer.data)))
            self._drag(layer, row, self.place())

    def move_a_box(self) -> None:
        layer = self.view.boxes.layer
        if layer.visible and len(layer.data) and self.viewer.dims.ndisplay == 2:
            row = int(self.rng.integers(len(layer.data)))
            plane, step = self.view.navigation.plane(), self.rng.integers(-2, 3, 3)
            step[plane.axis] = 0
            self._drag(layer, row, layer.data[row] + step)

    def _drag(self, layer: Any, row: int, to: np.ndarray) -> None:
        """Change a point or a shape and tell of it as napari does when it is let go."""
        data = list(layer.data)
        data[row] = to
        with layer.events.data.blocker():
            layer.data = np.array(data) if layer is self.view.points.layer else data
        layer.events.data(
            value=layer.data, action="changed", data_indices=(row,), vertex_indices=((),)
        )

    def delete_a_point(self) -> None:
        layer = self.view.points.layer
        if len(layer.data):
            layer.selected_data = {int(self.rng.integers(len(layer.data)))}
            layer.remove_selected()

    def turn(self) -> None:
        self.viewer.dims.order = tuple(int(i) for i in self.rng.permutation(3))

    def scroll(self) -> None:
        axis = int(self.rng.integers(3))
        self.viewer.dims.set_current_step(axis, int(self.rng.integers(self.view.frame.shape[axis])))

    def toggle_3d(self) -> None:
        self.viewer.dims.ndisplay = 5 - self.viewer.dims.ndisplay

    def take_a_tool(self) -> None:
        self.widget.run(str(self.rng.choice(TOOLS)))

    def choose_a_mode(self) -> None:
        """Press a button of napari's own controls."""
        layer, modes = self.view.mask.layer, ["paint", "erase", "fill", "polygon", "pick"]
        if layer not in self.viewer.layers:
            return
        self.viewer.layers.selection.active = layer
        layer.mode = str(self.rng.choice([*modes, "pan_zoom"]))

    def _a_layer(self) -> Any:
        layers = [each for each in self.viewer.layers if each is not self.view.image]
        return layers[self.rng.integers(len(layers))] if layers else self.view.image

    def remove_a_layer(self) -> None:
        layer = self._a_layer()
        if layer is not self.view.image:
            self.viewer.layers.remove(layer)

    def rename_a_layer(self) -> None:
        self._a_layer().name = f"mine {self.rng.integers(5)}"

    def hide_a_layer(self) -> None:
        layer = self._a_layer()
        layer.visible = not layer.visible

    def activate_a_layer(self) -> None:
        self.viewer.layers.selection.active = self._a_layer()

    def pick_a_label(self) -> None:
        self.view.mask.layer.selected_label = int(self.rng.integers(0, 12))

    def layer_undo(self) -> None:
        """Call napari's own undo of the layer, as a key or a console might."""
        layer = self.view.mask.layer
        (layer.undo if self.random(0.5) else layer.redo)()

    def select_an_object(self) -> None:
        if self.widget.objects.list.count():
            row = int(self.rng.integers(self.widget.objects.list.count()))
            self.widget.objects.list.setCurrentRow(row)

    def _an_object(self) -> Any:
        objects = self.view.session.state.objects
        return objects[self.rng.integers(len(objects))] if objects else None

    def select_prompts(self) -> None:
        shown = self.widget.prompt_list.list
        for row in range(shown.count()):
            shown.item(row).setSelected(self.random(0.3))

    def go_to_a_step(self) -> None:
        if self.random(0.3):
            panel = self.widget.history
            panel.list.clicked.emit(
                panel.steps.index(int(self.rng.integers(panel.steps.rowCount())))
            )

    def hide_an_object(self) -> None:
        if (chosen := self._an_object()) is not None:
            self.view.display.set_visible(chosen.id, self.random(0.5))

    def rename_an_object(self) -> None:
        if self.widget.objects.list.count():
            row = int(self.rng.integers(self.widget.objects.list.count()))
            self.renamed += 1
            self.widget.objects.list.item(row).setText(f"name {self.renamed}")

    def accept(self) -> None:
        if self.view.current is not None and self.random(0.5):
            self.view.run(lambda session: session.accept_object())

    def recolour(self) -> None:
        if (chosen := self._an_object()) is not None:
            self.view.run(
                lambda session: session.recolour_object(
                    chosen.id, tuple(map(float, self.rng.random(3)))
                )
            )

    def revalue(self) -> None:
        if (chosen := self._an_object()) is not None:
            wanted = int(self.rng.integers(1, 400 if self.random(0.1) else 40))
            value = self.view.session.state.free_value(wanted)
            self.view.run(lambda session: session.revalue_object(chosen.id, value))

    def change_the_rule(self) -> None:
        self.view.run(
            lambda session: session.set_overlap(
                str(self.rng.choice(["keep", "keep", "overwrite", "share"]))
            )
        )
