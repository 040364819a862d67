"""A viewer for every test, with or without a window, and a model that needs no weights."""

import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

_LINUX = sys.platform.startswith("linux")
if _LINUX and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is imported
# napari looks for its settings when it is imported: keep them out of the user's own folder.
_settings = tempfile.TemporaryDirectory()
os.environ.setdefault("NAPARI_CONFIG", os.path.join(_settings.name, "settings.yaml"))
HEADLESS = os.environ.get("QT_QPA_PLATFORM") == "offscreen"
_viewers = count(1)

pytest.importorskip("napari", reason="the window needs napari")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HEADLESS and item.get_closest_marker("gl"):
            item.add_marker(pytest.mark.skip(reason="needs a real window: make gl"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Leave what a viewer leaves behind out of later garbage collections; see ../conftest.

    napari collects all garbage when a layer is removed, and Qt, napari and vispy keep thousands
    of objects of each viewer that was closed. Some can be freed a little later only.
    """
    yield
    if "make_napari_viewer" in getattr(item, "fixturenames", ()):
        if next(_viewers) % 20 == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def _answer_gl_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qt's offscreen platform has no OpenGL: answer the two questions that napari asks of it."""
    if not HEADLESS:
        return
    answers = {"get_gl_extensions": "texture_float", "get_max_texture_sizes": (16384, 2048)}
    for name in ("canvas", "layers.base", "layers.image", "layers.labels"):
        module = importlib.import_module(f"napari._vispy.{name}")
        for attribute, answer in answers.items():
            if hasattr(module, attribute):
                monkeypatch.setattr(module, attribute, lambda answer=answer: answer)


@pytest.fixture(scope="session", autouse=True)
def _quick_viewers() -> Iterator[None]:
    """Spare what is the same for each viewer: npe2 reads every package's metadata twice for it."""
    from npe2.manifest.schema import PluginManifest

    found = [*PluginManifest.discover()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        yield


@pytest.fixture(autouse=True)
def _main_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_ENSURE_PLUGIN_MAIN_THREAD", "1")


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Read and write the plugin's settings in the test's folder, never in the user's."""
    from napari import settings

    monkeypatch.setattr(settings, "_CFG_PATH", str(tmp_path / "settings" / "settings.yaml"))
    settings._clear_plugin_settings_cache()
    yield
    settings._clear_plugin_settings_cache()


class FloodPredictor:
    """Segments what is connected to a click and about as bright: exact, quick and without torch.

    Its grids are those of a network: axes R, A, S, the logits to feed back a quarter as fine.
    """

    name = "flood"
    device = "cpu"
    fingerprint = "flood"
    feeds = "cumulative"
    accepts_boxes = True
    edge_aware = False
    blends_locally = False
    margin = 0
    sees_from_afar = False
    spacings = (1.5, 3.0)
    start_spacing = 3.0
    crop_size = 64
    tolerance = 120.0

    def normalise(self, crop: np.ndarray, inside: Any) -> np.ndarray:
        return crop

    def encode(self, image: np.ndarray) -> np.ndarray:
        return np.asarray(image, dtype=np.float32)

    def segment(
        self,
        encoded: np.ndarray,
        points: np.ndarray,
        labels: np.ndarray,
        box: np.ndarray | None,
        previous: np.ndarray | None,
    ) -> Any:
        from napari_fastsam3d.model.predictor import Segmentation

        mask = self._inside_box(encoded, box) if box is not None else np.zeros(encoded.shape, bool)
        for point, label in zip(points, labels, strict=True):
            blob = self._blob(encoded, point)
            mask = mask | blob if label else mask & ~blob
        fine = np.where(mask, 4.0, -4.0).astype(np.float32)
        side = self.crop_size // 4
        low = fine.reshape(side, 4, side, 4, side, 4).mean(axis=(1, 3, 5))
        return Segmentation(low.astype(np.float32), fine, predicted_iou=0.9)

    def _blob(self, image: np.ndarray, point: np.ndarray) -> np.ndarray:
        i, j, k = np.clip(np.round(point).astype(int), 0, self.crop_size - 1)
        alike, _ = ndimage.label(np.abs(image - image[i, j, k]) < self.tolerance)
        return alike == alike[i, j, k]

    def _inside_box(self, image: np.ndarray, box: np.ndarray) -> np.ndarray:
        low, high = np.floor(box[0]).astype(int), np.ceil(box[1]).astype(int) + 1
        inside = np.zeros(image.shape, bool)
        inside[tuple(slice(max(a, 0), max(b, 0)) for a, b in zip(low, high, strict=True))] = True
        middle = image[tuple(np.clip(np.round(box.mean(axis=0)).astype(int), 0, None))]
        return inside & (np.abs(image - middle) < self.tolerance)


@pytest.fixture
def flood() -> FloodPredictor:
    return FloodPredictor()


@pytest.fixture(scope="session")
def _window_imported() -> None:
    """Import what every window needs, and leave it out of garbage collections; see ../conftest."""
    for name in ("napari._qt.qt_main_window", "napari_fastsam3d._napari.widget"):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


@pytest.fixture
def make_widget(
    _window_imported: None, make_napari_viewer: Callable[..., Any], flood: FloodPredictor
) -> Any:
    """Return a function that opens a viewer with the widget docked, and gives both.

    The viewer that the widget gets is behind napari's public proxy, as for any plugin.
    """
    from napari.utils._proxies import PublicOnlyProxy

    from napari_fastsam3d._napari.widget import FastSAM3DWidget

    def make(model: Any = flood, **arguments: Any) -> tuple[Any, FastSAM3DWidget]:
        viewer = make_napari_viewer(**arguments)
        widget = FastSAM3DWidget(PublicOnlyProxy(viewer), model=model)
        viewer.window.add_dock_widget(widget, name="FastSAM3D", area="right")
        return viewer, widget

    return make


@pytest.fixture
def make_bare(
    _window_imported: None, qtbot: Any, flood: FloodPredictor
) -> Iterator[Callable[..., tuple[Any, Any]]]:
    """Return a function that gives a viewer without a window and the widget, which open at once.

    The widget is the same as in a window; it is docked nowhere, and the viewer has no canvas.
    """
    from napari.components import ViewerModel
    from napari.utils._proxies import PublicOnlyProxy

    from napari_fastsam3d._napari.widget import FastSAM3DWidget

    made: list[FastSAM3DWidget] = []

    def make(model: Any = flood) -> tuple[ViewerModel, FastSAM3DWidget]:
        viewer = ViewerModel()
        widget = FastSAM3DWidget(PublicOnlyProxy(viewer), model=model)
        qtbot.addWidget(widget)
        made.append(widget)
        return viewer, widget

    yield make
    for widget in made:
        with suppress(ValueError):  # a test has closed it
            widget.workspace.close()
        widget.workspace.cleanup.close()


@pytest.fixture
def make_scene(make_bare: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that gives a `Scene` in a viewer without a window, with scans in it."""
    from scene import Scene

    def make(*scans: Any, **arguments: Any) -> Scene:
        scene = Scene(make_bare(**arguments)[1], settle_at_once)
        scene.settle()
        for scan in scans:
            scene.open(scan)
        return scene

    return make


def settle_at_once(widget: Any) -> None:
    """Wait until a widget has shown all that was asked of it, and no longer."""
    from qtpy.QtWidgets import QApplication

    end, quiet = monotonic() + 60, 0
    while quiet < 4:  # what is shown may be put off a few turns of the event loop
        assert monotonic() < end, "the widget is busy for ever"
        QApplication.processEvents()
        quiet = 0 if widget.busy else quiet + 1
        sleep(0.001 if widget.busy else 0)


@pytest.fixture
def activate(qtbot: Any) -> Callable[[Any], None]:
    """Return a function that brings a viewer's window to the front and waits until it is there.

    Qt leaves the keys of a window that isn't active to nobody.
    """

    def bring(viewer: Any) -> None:
        window = viewer.window._qt_window
        with qtbot.waitActive(window, timeout=60_000):
            window.activateWindow()

    return bring


@pytest.fixture
def open_window(
    make_widget: Callable[..., Any], activate: Callable[[Any], None], settle: Callable[[Any], None]
) -> Callable[..., Any]:
    """Return a function that shows scans in a window, and gives viewer, widget and a hand.

    A scan is a `Volume`, or a layer of another reader. The smallest window with everything in it.
    """
    from canvas import Hand
    from napari.layers import Layer

    from napari_fastsam3d._napari.contributions.reader import image_layer_data

    def show(
        *scans: Any, size: tuple[int, int] = (1280, 770), **arguments: Any
    ) -> tuple[Any, Any, Hand]:
        viewer, widget = make_widget(show=True, **arguments)
        viewer.window._qt_window.resize(*size)
        for scan in scans:
            layer = scan if isinstance(scan, Layer) else Layer.create(*image_layer_data(scan))
            viewer.add_layer(layer)
        activate(viewer)
        settle(widget)
        viewer.reset_view()
        settle(widget)
        return viewer, widget, Hand(viewer)

    return show


@pytest.fixture
def settle(qtbot: Any) -> Callable[[Any], None]:
    """Return a function that waits until the widget has shown all that was asked of it."""

    def wait(widget: Any) -> None:
        qtbot.wait(20)
        qtbot.waitUntil(lambda: not widget.busy, timeout=180_000)
        qtbot.wait(20)

    return wait
