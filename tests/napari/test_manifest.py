"""What napari learns from the manifest."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest

import napari_fastsam3d
from napari_fastsam3d.geometry.source import MASK_SUFFIXES, SCAN_SUFFIXES

NAME = "napari-fastsam3d"


@pytest.fixture
def manifest() -> PluginManifest:
    return PluginManifest.from_file(Path(napari_fastsam3d.__file__).parent / "napari.yaml")


@pytest.fixture
def registered(npe2pm: Any) -> PluginManager:
    if NAME not in npe2pm:
        npe2pm.register(PluginManifest.from_distribution(NAME))
    return npe2pm


@pytest.fixture
def kept(plugin_settings: Any, registered: PluginManager) -> Iterator[Any]:
    from napari.settings import get_plugin_settings

    return get_plugin_settings(NAME)


def test_every_command_can_be_called(manifest: PluginManifest) -> None:
    manifest.validate_imports()
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(import_module(module), name))


def test_the_reader_is_asked_for_every_scan_and_the_writer_for_every_mask(
    manifest: PluginManifest,
) -> None:
    (reader,) = manifest.contributions.readers
    (writer,) = manifest.contributions.writers

    named = {
        pattern for pattern in reader.filename_patterns if pattern[2:].replace(".", "").isalpha()
    }
    assert named == {f"*{suffix}" for suffix in SCAN_SUFFIXES}
    assert set(writer.filename_extensions) == set(MASK_SUFFIXES)


def test_there_is_one_widget(manifest: PluginManifest) -> None:
    assert [widget.display_name for widget in manifest.contributions.widgets] == ["FastSAM3D"]


def test_a_bare_name_opens_the_widget(
    make_napari_viewer: Callable[..., Any], registered: PluginManager
) -> None:
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget(NAME)
    assert type(widget).__name__ == "FastSAM3DWidget"
    assert "viewer._" not in str(widget.viewer)


def test_the_widget_is_in_the_menus_of_layers(manifest: PluginManifest) -> None:
    menus = manifest.contributions.menus
    for menu in ("napari/layers/segment", "napari/layers/annotate"):
        assert [item.command for item in menus[menu]] == ["napari-fastsam3d.widget"]


@pytest.mark.parametrize(
    "name",
    [
        *("a.nii", "a.nii.gz", "a.b.nii.gz", "A.NII.GZ", "a.nrrd", "a.nhdr", "a.mha", "a.mhd"),
        *("a.dcm", "A.DCM", "a.dicom", "a.IMA", "IM-0001-0001", "DICOMDIR", "1.2.840.5.6.7"),
    ],
)
def test_scans_are_read_by_us(registered: PluginManager, name: str) -> None:
    readers = [each.command for each in registered.iter_compatible_readers(name)]
    assert "napari-fastsam3d.read" in readers


def test_the_sample_is_a_torso(
    make_napari_viewer: Callable[..., Any], registered: PluginManager
) -> None:
    viewer = make_napari_viewer()
    (layer,) = viewer.open_sample(NAME, "torso-phantom")
    assert tuple(layer.axis_labels) == ("I", "P", "L")
    assert np.ptp(layer.data) > 1000


def test_settings_have_defaults_and_are_kept(kept: Any) -> None:
    from napari_fastsam3d._napari.contributions.settings import (
        Settings,
        load_settings,
        save_model,
        save_show_crop,
        save_shown,
    )

    assert load_settings() == Settings()
    save_model("default", "cpu")
    save_show_crop(True)
    assert load_settings() == Settings(device="cpu", show_crop=True)
    save_shown("prompts", False)
    save_shown("history", True)
    assert (load_settings().show_prompts, load_settings().show_history) == (False, True)
    assert "device: cpu" in Path(kept.config_path).read_text()


def test_a_widget_without_the_plugin_has_the_defaults(plugin_settings: Any) -> None:
    from napari_fastsam3d._napari.contributions.settings import Settings, load_settings, save_model

    save_model("default", "cuda")
    assert load_settings() == Settings()
