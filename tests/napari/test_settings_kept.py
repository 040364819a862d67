"""What the user chose is there again in the next window, and in napari's Preferences."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from napari.settings import get_plugin_settings
from npe2 import PluginManifest
from scene import Scene, scan

from napari_fastsam3d._napari.contributions.settings import PLUGIN, Settings, load_settings
from napari_fastsam3d._napari.dialogs.worklist import WorklistDialog

SECTIONS = ("engine", "display", "safety", "memory", "worklist")


@pytest.fixture
def kept(plugin_settings: Any, npe2pm: Any) -> Iterator[Any]:
    """The settings as napari keeps them for the installed plugin."""
    if PLUGIN not in npe2pm:
        npe2pm.register(PluginManifest.from_distribution(PLUGIN))
    return get_plugin_settings(PLUGIN)


def flat(kept: Any) -> dict[str, Any]:
    """Every setting of the manifest by its name."""
    return {
        f"{section}.{name}": value
        for section in SECTIONS
        for name, value in getattr(kept, section).model_dump().items()
    }


def test_every_setting_of_the_manifest_is_read_and_has_its_default(kept: Any) -> None:
    stored, read = flat(kept), load_settings()
    known = {f.name for f in fields(Settings)} - {"worklist"}
    known |= {f.name for f in fields(read.worklist)}
    assert {name.split(".")[1] for name in stored} == known
    for name, value in stored.items():
        section, own = name.split(".")
        owner = read.worklist if section == "worklist" else read
        assert getattr(owner, own) == value
        assert getattr(Settings().worklist if section == "worklist" else Settings(), own) == value


def test_each_setting_that_is_changed_is_read_as_it_was_written(kept: Any) -> None:
    wanted = {
        ("display", "opacity"): 0.25,
        ("display", "interpolation"): "cubic",
        ("display", "scroll_slices"): "never",
        ("display", "layout"): "full",
        ("safety", "journal"): False,
        ("memory", "recall"): "off",
        ("memory", "remember"): "never",
        ("engine", "device"): "cpu",
        ("display", "show_scan"): False,
        ("display", "show_tools"): False,
        ("display", "show_objects"): False,
        ("display", "show_prompts"): False,
        ("display", "show_history"): True,
        ("display", "show_memory"): True,
        ("display", "show_crop"): True,
    }
    for done, ((section, name), value) in enumerate(wanted.items(), 1):
        setattr(getattr(kept, section), name, value)
        read = load_settings()
        changed = [f.name for f in fields(Settings) if getattr(read, f.name) != f.default]
        assert len(changed) == done  # each has a place of its own
        assert getattr(read, name) == value


def test_what_is_changed_in_the_window_is_there_in_the_next_one(
    kept: Any, make_scene: Callable[..., Scene], tmp_path: Path
) -> None:
    before = flat(kept)
    scene = make_scene(scan())
    widget, work = scene.widget, scene.work
    for section in widget.sections.values():
        section.heading.click()
    widget.model.crop.value = True
    widget.memory.when.setCurrentIndex(widget.memory.when.findData("never"))
    widget.memory.way.setCurrentIndex(widget.memory.way.findData("prior"))
    scene.do("compact")
    scene.do("worklist")
    dialog = widget.findChild(WorklistDialog)
    dialog.folder.setText(str(tmp_path))
    dialog.output.setText("")
    dialog.pattern.setText("{case}.nrrd")
    dialog.scans.setText("ct*")
    dialog.begin.click()
    scene.settle()
    assert work.show_crop
    now = flat(kept)
    assert {name: value for name, value in now.items() if value != before[name]} == {
        "display.show_crop": True,
        "display.layout": "compact",
        "display.show_scan": False,
        "display.show_tools": False,
        "display.show_objects": False,
        "display.show_prompts": False,
        "display.show_history": True,
        "display.show_memory": True,
        "memory.recall": "prior",
        "memory.remember": "never",
        "worklist.folder": str(tmp_path),
        "worklist.pattern": "{case}.nrrd",
        "worklist.scans": "ct*",
    }
    for text in ("recall: prior", "layout: compact", "show_history: true"):
        assert text in Path(kept.config_path).read_text()

    again = make_scene(scan("again"))
    widget, work = again.widget, again.work
    opened = {name: section.opened for name, section in widget.sections.items()}
    assert opened == {
        **dict.fromkeys(("scan", "tools", "objects", "prompts", "model"), False),
        **dict.fromkeys(("history", "memory"), True),
    }
    assert widget.model.crop.value
    assert work.memory.when == "never"
    assert widget.memory.when.currentData() == "never"
    assert (work.memory.way, work.memory.preferred) == ("prior", "prior")
    assert again.session.recall == "prior"
    assert work.layout.layout == "compact"
    assert again.view._layers.crop.shown
    again.do("worklist")
    dialog = widget.findChild(WorklistDialog)
    fields_shown = [dialog.folder, dialog.output, dialog.pattern, dialog.scans]
    assert [each.text() for each in fields_shown] == [str(tmp_path), "", "{case}.nrrd", "ct*"]
    assert dialog.list.isHidden()  # it is offered, and not opened unasked

    again.do("toggle_memory")
    assert kept.memory.recall == "off"
    third = make_scene()
    assert (third.work.memory.way, third.work.memory.preferred) == (None, "reader")
    assert not third.widget.memory.switch.isChecked()


def test_settings_of_how_scans_look_hold_for_each_that_is_opened(
    kept: Any, make_scene: Callable[..., Scene]
) -> None:
    kept.display.interpolation, kept.display.opacity = "cubic", 0.25
    kept.safety.journal = False
    scene = make_scene(scan())
    image, mask = scene.view.image, scene.view.mask.layer
    assert (image.interpolation2d, mask.opacity) == ("cubic", 0.25)
    assert scene.session.journal_status.state == "off"
    assert scene.view.journal.searched is None
    image.interpolation2d = "nearest"
    scene.open(scan("other"))
    assert scene.view.image.interpolation2d == "cubic"
    scene.widget.scan.choose(image)
    scene.settle()
    assert image.interpolation2d == "nearest"  # what the user chose for it stays
    assert "work saved" not in scene.widget.status.facts.text()


@pytest.mark.parametrize("setting", ["auto", "cuda"])
def test_a_device_that_is_set_is_shown(
    kept: Any, make_scene: Callable[..., Scene], setting: str
) -> None:
    kept.engine.device = setting
    panel = make_scene().widget.model
    assert panel.device.value == setting
    assert panel.model.value == "flood"  # the model that runs, whatever the settings name
