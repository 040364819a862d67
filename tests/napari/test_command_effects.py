"""What each command does to session, layers and files, and how it is taken back."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from feature_model import FeatureModel
from feature_model import scan as tissues
from qtpy.QtWidgets import QFileDialog, QInputDialog
from scene import BALL, OTHER, Scene, ball, two_balls
from scipy import ndimage

from napari_fastsam3d._napari.commands import clean_up as clean_up_commands
from napari_fastsam3d._napari.commands.scans import PRESETS
from napari_fastsam3d.geometry import read_volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.session import Edit

EDGE = 3.0
AFFINE = np.diag([EDGE, EDGE, EDGE, 1.0])
CORNERS = np.ones((3, 3, 3))


@pytest.fixture
def scene(make_bare: Callable[..., Any], settle: Any, tmp_path: Path) -> Scene:
    """A scan of two balls from a file."""
    path = tmp_path / "ct.nii.gz"
    nib.save(nib.Nifti1Image(two_balls(), AFFINE), path)
    scene = Scene(make_bare()[1], settle)
    scene.open(read_volume(path))
    return scene


@pytest.fixture
def two(scene: Scene) -> Scene:
    """The same with an object of each ball; the second is current."""
    scene.click(BALL)
    scene.do("next_object")
    scene.click(OTHER)
    return scene


def answer(monkeypatch: Any, dialog: Any, asked: str, *given: Any) -> None:
    monkeypatch.setattr(dialog, asked, staticmethod(lambda *_, **__: given))


def signs(scene: Scene) -> list[bool]:
    return [prompt.positive for prompt in scene.view.prompts]


def test_steps_are_taken_back_flipped_selected_and_deleted(scene: Scene) -> None:
    scene.click(BALL)
    one = scene.session.mask()
    scene.click(OTHER)
    both = scene.session.mask()
    assert (both[BALL], both[OTHER], one[OTHER]) == (True, True, False)

    scene.do("flip_point")  # none is selected: the last
    assert signs(scene) == [True, False]
    assert np.array_equal(scene.session.mask(), one)
    scene.do("undo")
    assert signs(scene) == [True, True]
    scene.do("redo")
    assert signs(scene) == [True, False]
    scene.do("flip_point")

    selected = []
    for key in ("next_prompt", "next_prompt", "next_prompt", "previous_prompt"):
        scene.do(key)
        (number,) = scene.view.selection.ids
        selected.append([prompt.id for prompt in scene.view.prompts].index(number))
    assert selected == [0, 1, 0, 1]  # from the end to the beginning, and back
    assert scene.view.navigation.source_slice() == OTHER[2]
    scene.do("previous_prompt")
    assert scene.view.navigation.source_slice() == BALL[2]
    scene.do("flip_point")  # the selected one, which is the first
    assert signs(scene) == [False, True]
    scene.do("delete_prompt")
    assert [prompt.index for prompt in scene.view.prompts] == [OTHER]
    assert scene.view.selection.ids == ()
    left = scene.session.mask()
    assert (left[BALL], left[OTHER]) == (False, True)
    scene.do("undo")
    scene.do("undo")
    assert np.array_equal(scene.session.mask(), both)

    scene.do("reset_object")
    assert scene.view.prompts == ()
    assert not scene.session.mask().any()
    scene.do("undo")
    assert np.array_equal(scene.session.mask(), both)
    for _ in range(20):
        scene.do("undo")
    assert scene.objects == ()
    assert not scene.session.label_map().any()
    while scene.session.can_redo:
        scene.do("redo")
    assert scene.view.prompts == ()  # as after the reset


def test_objects_are_gone_through_shown_alone_faded_sorted_and_outlined(two: Scene) -> None:
    first, second = (each.id for each in two.objects)
    drawn = two.view.mask.layer

    def alpha(number: int) -> float:
        return float(drawn.colormap.map(two.session.state.object(number).value)[-1])

    chosen = []
    for key in ("object_after", "object_after", "object_before", "object_before"):
        two.do(key)
        chosen.append(two.current.id if two.current else None)
    assert chosen == [first, second, first, second]

    assert alpha(first) == alpha(second) == 1
    two.do("only_current")
    assert (alpha(first), alpha(second)) == (0, 1)
    two.do("object_after")  # the other one alone now
    assert (alpha(first), alpha(second)) == (1, 0)
    two.do("only_current")
    assert (alpha(first), alpha(second)) == (1, 1)

    steps = []
    for key in ["fainter"] * 6 + ["stronger"] * 6:
        two.do(key)
        steps.append(two.view.display.strength_of(first))
    assert steps == [0.8, 0.6, 0.4, 0.2, 0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1]
    two.do("fainter")
    assert alpha(first) == pytest.approx(0.8, abs=0.01)
    assert alpha(second) == 1
    assert two.session.history.cursor == len(two.session.history.entries)  # display is no step

    contours = []
    for _ in range(2):
        two.do("outlines")
        contours.append(drawn.contour)
    assert contours == [1, 0]
    shown = []
    for _ in range(2):
        two.do("toggle_mask")
        shown.append(drawn.visible)
    assert shown == [False, True]

    two.view.run(lambda session: session.rename_object(first, "Ö liver"))
    two.view.run(lambda session: session.rename_object(second, "aorta"))
    two.view.run(lambda session: session.edit_mask(removed=Mask.of_volume(ball(OTHER, 5.5))))
    two.settle()
    two.do("object_after")
    orders = {}
    for _ in range(3):
        (said,) = two.do("sort_objects")
        orders[said] = [each.name for each in two.work.listed_objects()]
    sizes = {each.name: int(two.session.mask(each.id).sum()) for each in two.objects}
    assert orders == {
        "Objects by name.": ["aorta", "Ö liver"],
        "Objects by size, largest first.": sorted(sizes, key=sizes.__getitem__, reverse=True),
        "Objects in the order begun.": ["Ö liver", "aorta"],
    }
    two.do("fly_to_object")
    mask = two.session.mask(two.current.id if two.current else None)
    assert mask[..., two.view.navigation.source_slice()].any()


def test_windows_of_ct_by_key(scene: Scene) -> None:
    image = scene.view.image
    for key, (level, width) in {
        "soft_tissue": (40, 400),
        "lung": (-600, 1500),
        "bone": (400, 1800),
        "brain": (40, 80),
        "liver": (60, 160),
        "mediastinum": (50, 350),
        "angio": (300, 600),
    }.items():
        scene.do(PRESETS[key].key)
        assert tuple(image.contrast_limits) == (level - width / 2, level + width / 2)
        assert scene.work.windowing.preset == key
        assert f"level {level}, width {width}" in PRESETS[key].tooltip


def oracle(kind: str, mask: np.ndarray, amount: float | None) -> np.ndarray:
    """What cleaning up means, written anew and over the whole volume."""
    parts, count = ndimage.label(mask, CORNERS)
    sizes = ndimage.sum_labels(mask, parts, range(1, count + 1))
    clicked = parts[BALL]
    match kind, amount:
        case "islands", float(least):
            kept = [n for n, size in enumerate(sizes, 1) if size * EDGE**3 / 1000 >= least]
            return np.isin(parts, [*kept, clicked, 1 + int(np.argmax(sizes))])
        case "connected", None:
            return parts == clicked
        case "holes", None:
            return ndimage.binary_fill_holes(mask)
        case "grow", float(reach):
            return EDGE * ndimage.distance_transform_edt(~mask) <= reach
        case "shrink", float(reach):
            return EDGE * ndimage.distance_transform_edt(mask) > reach
        case "smooth", float(deviation):
            return ndimage.gaussian_filter(mask.astype(float), deviation / EDGE) > 0.5
    raise AssertionError(kind)


def test_masks_are_cleaned_up_as_asked_and_the_step_is_taken_back(
    scene: Scene, monkeypatch: Any
) -> None:
    scene.click(BALL)
    specks = np.zeros(scene.session.volume.shape, bool)
    specks[2:4, 2:4, 2:4] = specks[36:39, 3:6, 20:24] = True
    hole = ball(BALL, 1.5)
    hole[BALL] = False
    scene.view.run(lambda s: s.edit_mask(Mask.of_volume(specks), Mask.of_volume(hole)))
    scene.settle()
    before = scene.session.mask()
    assert before[specks].all()
    assert not before[hole].any()
    asked: list[str] = []
    for kind, amount in (
        ("islands", 0.5),
        ("islands", 5.0),
        ("connected", None),
        ("holes", None),
        ("grow", 4.0),
        ("shrink", 3.0),
        ("smooth", 3.0),
    ):

        def give(_p: Any, title: str, _t: str, of: str, _s: Any, amount: Any = amount) -> Any:
            asked.append(f"{title}: {of}")
            return amount, False

        monkeypatch.setattr(clean_up_commands, "ask_clean_up", give)
        scene.do(f"clean_{kind}")
        wanted = oracle(kind, before, amount)
        assert not np.array_equal(wanted, before), kind
        wanted[BALL] = True  # a click inside stays inside
        found = scene.session.mask()
        assert (found != wanted).sum() == 0, (kind, amount)
        edit = scene.view.prompts[-1]
        assert isinstance(edit, Edit)
        assert edit.by is not None
        assert (edit.by.kind, edit.by.amount) == (kind, amount)
        assert asked.pop().endswith(kind)
        drawn = scene.view.frame.source_view(scene.view.mask.layer.data)
        assert np.array_equal(drawn > 0, found)
        scene.do("undo")
        assert np.array_equal(scene.session.mask(), before)
    monkeypatch.setattr(clean_up_commands, "ask_clean_up", lambda *_: None)
    steps = scene.session.history.cursor
    scene.do("clean_grow")  # the user thought better of it
    assert scene.session.history.cursor == steps


def test_slices_between_drawn_ones_are_filled(scene: Scene) -> None:
    drawn = np.zeros(scene.session.volume.shape, bool)
    drawn[10:20, 12:24, [4, 10]] = True
    scene.view.run(lambda s: s.edit_mask(Mask.of_volume(drawn)))
    scene.settle()
    scene.do("clean_interpolate")
    filled = np.zeros_like(drawn)
    filled[10:20, 12:24, 4:11] = True  # between equal slices every slice is the same
    assert np.array_equal(scene.session.mask(), filled)
    assert scene.do("clean_interpolate") == ["Nothing had to be cleaned up."]


def test_what_is_saved_by_key_is_read_again(two: Scene, monkeypatch: Any, tmp_path: Path) -> None:
    first, second = two.objects
    two.view.run(lambda session: session.rename_object(first.id, "liver"))
    two.view.run(lambda session: session.rename_object(second.id, 'a "b" ä'))
    two.settle()
    labels = two.session.label_map()

    answer(monkeypatch, QFileDialog, "getSaveFileName", str(tmp_path / "names"), "")
    (said,) = two.do("save_label_table")
    assert said == "Saved names.txt beside the scan."
    table = [
        line.split(maxsplit=7)
        for line in (tmp_path / "names.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    rows = {int(row[0]): (tuple(map(int, row[1:4])), row[7]) for row in table}
    for each in two.objects:
        colour = tuple(round(255 * share) for share in each.colour)
        assert rows[each.value][0] == colour
    assert rows[first.value][1] == '"liver"'
    assert rows[second.value][1].count('"') == 2  # ITK-SNAP knows no quote within a name

    for name, suffix in (("whole", ".nii.gz"), ("other.nrrd", "")):
        answer(monkeypatch, QFileDialog, "getSaveFileName", str(tmp_path / name), "")
        assert two.do("save_mask") == [f"Saved {name}{suffix} beside the scan."]
        saved = read_volume(tmp_path / f"{name}{suffix}")
        assert np.array_equal(saved.voxels, labels)
        assert np.array_equal(saved.affine, two.session.volume.affine)

    answer(monkeypatch, QFileDialog, "getSaveFileName", str(tmp_path / "apart.nii.gz"), "")
    two.do("save_both")
    files = sorted(each.name for each in tmp_path.glob("apart*"))
    assert len(files) == 3
    assert "apart_liver.nii.gz" in files
    liver = np.asarray(nib.load(tmp_path / "apart_liver.nii.gz").dataobj)
    assert np.array_equal(liver, labels == first.value)

    answer(monkeypatch, QFileDialog, "getSaveFileName", str(tmp_path / "steps"), "")
    two.do("save_prompts")
    kept = json.loads((tmp_path / "steps.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in kept["objects"]] == ["liver", 'a "b" ä']
    answer(monkeypatch, QFileDialog, "getOpenFileName", str(tmp_path / "steps.json"), "")
    two.do("open_prompts")  # refused: something was done here already
    assert len(two.objects) == 2
    assert np.array_equal(two.session.label_map(), labels)

    answer(monkeypatch, QFileDialog, "getOpenFileName", str(tmp_path / "whole.nii.gz"), "")
    assert two.do("open_mask")[-1] == "whole.nii.gz: 2 objects opened."
    assert len(two.objects) == 4
    for _ in range(2):
        two.do("undo")
    assert len(two.objects) == 2

    # Where nothing is chosen nothing is written.
    known = sorted(each.name for each in tmp_path.iterdir())
    answer(monkeypatch, QFileDialog, "getSaveFileName", "", "")
    answer(monkeypatch, QFileDialog, "getOpenFileName", "", "")
    for key in ("save_mask", "save_each", "save_both", "save_prompts", "save_meshes"):
        assert two.do(key) == []
    for key in ("save_label_table", "save_report", "save_patient_report", "open_mask"):
        assert two.do(key) == []
    assert sorted(each.name for each in tmp_path.iterdir()) == known


def test_cases_are_remembered_exported_forgotten_imported_and_found(
    make_bare: Callable[..., Any], settle: Any, qtbot: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    model = FeatureModel(size=64, spacings=(2.0, 4.0), start_spacing=2.0)
    scene = Scene(make_bare(model=model)[1], settle)
    volume, _ = tissues((25, 20, 18), 1)
    scene.open(volume)
    scene.click((25, 20, 18))
    answer(monkeypatch, QInputDialog, "getItem", "ball", False)
    scene.view.run(lambda session: session.rename_object(1, "ball"))
    scene.settle()
    scene.do("remember_object")
    qtbot.waitUntil(lambda: "Remembered ball for other scans." in scene.messages, timeout=60_000)
    assert scene.work.memory.structures() == {"ball": 1}

    answer(monkeypatch, QFileDialog, "getSaveFileName", str(tmp_path / "cases.tmp"), "")
    assert scene.do("export_memory") == ["cases.zip: 1 cases written."]
    (entry,) = scene.work.memory.entries()
    with MemoryBank(tmp_path / "bank") as bank:  # another user's
        assert [each.id for each in bank.import_(tmp_path / "cases.zip")] == [entry.id]
    scene.work.memory.forget(entry.id, lambda _case: None)
    scene.settle()
    assert scene.why_not("find_structure") is not None
    answer(monkeypatch, QFileDialog, "getOpenFileName", str(tmp_path / "cases.zip"), "")
    assert scene.do("import_memory") == ["cases.zip: 1 cases added."]
    assert scene.do("import_memory") == ["cases.zip: 0 cases added."]
    assert [each.id for each in scene.work.memory.entries()] == [entry.id]

    scene.do("find_structure")  # cancelled
    assert len(scene.objects) == 1
    answer(monkeypatch, QInputDialog, "getItem", "ball", True)
    scene.do("find_structure")
    qtbot.waitUntil(lambda: len(scene.objects) == 2 and not scene.widget.busy, timeout=60_000)
    scene.do("undo")
    assert len(scene.objects) == 1
    recalled = []
    for _ in range(2):
        scene.do("toggle_memory")
        recalled.append(scene.work.memory.way)
    assert recalled == [None, "reader"]


def test_the_second_scan_is_seen_alone_with_the_first_or_not(scene: Scene) -> None:
    view = scene.view
    second = replace(scene.session.volume, voxels=two_balls()[::-1].copy())
    scene.work.overlay.lay(view, lambda: second)
    scene.settle()
    layer = view.overlay
    seen = []
    for key in ("both_scans", "both_scans", "flicker", "flicker", "flicker", "both_scans"):
        (said,) = scene.do(key)
        assert layer.visible == (said != f"You see {view.image.name}.")
        assert scene.work.windowing.window.limits == pytest.approx(
            (layer if layer.visible and layer.opacity == 1 else view.image).contrast_limits
        )
        seen.append(scene.work.overlay.shown(view))
    assert seen == ["first", "both", "second", "first", "second", "both"]
    scene.work.viewer.layers.remove(layer)
    scene.settle()
    assert scene.do("flicker") == ["Lay a second scan over this one first."]
