"""Text of users in tables, numbers beyond bounds, absent folders, intensities that are none."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from remembered import remembered

from napari_fastsam3d.cli import run
from napari_fastsam3d.cli.bench import Cost, _print_table
from napari_fastsam3d.cli.check import Check
from napari_fastsam3d.cli.doctor import _print_table as print_checks
from napari_fastsam3d.cli.models import _Tenths
from napari_fastsam3d.cli.parsed_prompts import ParsedBox, ParsedPoint
from napari_fastsam3d.cli.picture import draw_trial
from napari_fastsam3d.errors import PromptError
from napari_fastsam3d.evaluation import Target, Trial
from napari_fastsam3d.evaluation.target import Key
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.picture import (
    Dot,
    Outline,
    _contour,
    best_planes,
    draw,
    shades,
)
from napari_fastsam3d.memory.bank import MemoryBank, memory_folder
from napari_fastsam3d.model import import_model
from napari_fastsam3d.session import Mask

MARKUP = "[red]left[/red] [/] [b"
SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=20, deadline=None)
GREEN = (0, 255, 0)


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal wide enough for a table not to be broken."""
    monkeypatch.setenv("COLUMNS", "300")


def test_a_structure_s_name_is_printed_as_it_is(capsys):
    with MemoryBank(memory_folder()) as bank:
        bank.add(remembered(MARKUP))
    assert run(["memory", "list"]) == 0
    assert MARKUP in capsys.readouterr().out


def test_a_licence_is_printed_as_it_is(turbo_file, capsys):
    import_model(turbo_file, name="mine", licence=MARKUP)
    for command in (["models", "list"], ["models", "info", "mine"]):
        assert run(command) == 0
        assert MARKUP in capsys.readouterr().out


def test_a_model_s_name_is_printed_as_it_is(capsys):
    _print_table([Cost(MARKUP, "cpu", "float32", 1, 2, 3, None)])
    told = capsys.readouterr().out
    assert MARKUP in told
    assert "?" in told, "memory that the system does not tell"


@pytest.mark.parametrize("make", [Check.ok, Check.warning, Check.fail])
def test_what_was_found_is_printed_as_it_is(capsys, make):
    remedy = () if make == Check.ok else (MARKUP,)
    check = make("name", MARKUP, *remedy)
    print_checks([check])
    assert capsys.readouterr().out.count(MARKUP) == 1 + len(remedy)
    assert check.as_dict()["text"] == MARKUP


@pytest.mark.parametrize("option", ["-o", "--prompts"])
def test_a_folder_that_is_absent_is_told_before_anything_is_read(tmp_path, capsys, option):
    given_ = ["segment", str(tmp_path / "scan.nii"), "-p", "1,2,3", "-o", str(tmp_path / "m.nii")]
    absent = str(tmp_path / "absent" / "file.json")
    assert run([*given_, option, absent]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: There is no folder {tmp_path / 'absent'}")
    assert "reading" not in told


@pytest.mark.parametrize("place", ["1e308", "-1e308", "1e10"])
def test_a_place_beyond_all_bounds_is_refused_in_words(place):
    with pytest.raises(PromptError, match="bounds"):
        ParsedPoint.parse(f"0,{place},0,-")
    with pytest.raises(PromptError, match="bounds"):
        ParsedBox.parse(f"{place},0,0,1,1,1")


@pytest.mark.parametrize("text", ["nan,1,2", "inf,1,2", "1,2,3,+,-", "1,2,3,4", "", ",,", "1;2;3"])
def test_other_text_is_no_point(text):
    with pytest.raises(PromptError, match="numbers"):
        ParsedPoint.parse(text)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 100)), max_size=12), st.booleans())
def test_a_download_is_told_by_tenths_that_grow(steps, known):
    told: list[str] = []
    tenths = _Tenths("fetching")
    size = 100_000_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda text, **_: told.append(text))
        for done, _ in sorted(steps):
            tenths(done * size // 10, 10 * size if known else None)
    assert len(told) == len({done // 10 for done, _ in steps})
    assert all(("of 1000 MB" in line) == known for line in told)


@few
@given(SEEDS)
def test_planes_are_those_that_a_search_finds(seed):
    rng = np.random.default_rng(seed)
    masks = [rng.random((4, 5, 3)) < 0.3 for _ in range(2)]
    if not all(mask.any() for mask in masks):
        return
    for axis, plane in enumerate(best_planes(masks)):

        def shown(at, axis=axis):
            parts = [mask.take(at, axis).sum() / mask.sum() for mask in masks]
            return min(parts) + 1e-3 * sum(parts)

        best = max(shown(at) for at in range(masks[0].shape[axis]))
        assert shown(plane) == pytest.approx(best)


@few
@given(SEEDS, st.floats(-1000, 1000), st.floats(0, 500))
def test_a_window_is_black_below_white_above_and_rises_between(seed, low, width):
    values = np.sort(np.random.default_rng(seed).uniform(low - 100, low + width + 100, 50))
    grey = shades(values[None].astype(np.float32), (low, low + width))[0]
    assert (np.diff(grey.astype(int)) >= 0).all()
    assert not grey[values < low - 1e-2].any()
    assert (grey[values > low + width + 1e-2] == 255).all()


@few
@given(SEEDS)
def test_a_contour_is_the_rim_of_its_mask_inside_of_it(seed):
    mask = np.random.default_rng(seed).random((5, 6)) < 0.5
    contour = _contour(mask, (60, 50))
    large = np.kron(mask, np.ones((10, 10), bool))
    assert not (contour & ~large).any()
    padded = np.pad(large, 2)
    deep = np.ones(large.shape, bool)
    for i, j in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        deep &= padded[2 + i : 52 + i, 2 + j : 62 + j]
    assert contour[large & ~deep].all(), "whatever touches the outside"
    assert not contour[2:-2, 2:-2][5::10, 5::10].any() or mask.sum() < mask.size


def trial_of(volume, truth, clicks):
    target = Target(Key("set", "case", 1), "block", volume, Mask.of_volume(truth))
    trial = Trial(
        "set",
        "case",
        "block",
        1,
        int(truth.sum()),
        volume.spacing,
        clicks,
        dice=(0.25,) * len(clicks),
        nsd=(0.5,) * len(clicks),
        box_dice=None,
        box_nsd=None,
        milliseconds=(1.0,) * len(clicks),
        satisfied=(True,) * len(clicks),
    )
    return target, trial


@pytest.mark.parametrize("spoilt", [None, np.nan, np.inf, -np.inf, -32768.0, "all"])
def test_a_trial_is_drawn_whatever_the_scan_holds(spoilt):
    voxels = np.random.default_rng(0).normal(40, 10, (30, 28, 20)).astype(np.float32)
    truth = np.zeros(voxels.shape, bool)
    truth[10:20, 8:18, 6:14] = True
    if spoilt == "all":
        voxels[:] = np.nan
    elif spoilt is not None:
        voxels[::2, ::3] = spoilt
    volume = Volume.from_array(voxels, spacing=(1, 1, 2))
    target, trial = trial_of(volume, truth, (((15, 12, 10), True), ((2, 2, 2), False)))
    picture = draw_trial(target, trial, Mask.of_volume(np.roll(truth, 3, 0)))
    pixels = np.asarray(picture).reshape(-1, 3)
    for colour in ((80, 220, 100), (255, 170, 40), (90, 200, 255), (255, 70, 70)):
        assert (pixels == colour).all(1).any(), "truth, mask and both kinds of click are seen"


@pytest.mark.parametrize("at", [(0, 0, 0), (29, 27, 19), (15, 14, 10)])
def test_a_dot_is_filled_where_it_lies_in_the_slice_and_hollow_elsewhere(at):
    volume = Volume.from_array(np.zeros((30, 28, 20)), spacing=(1, 1, 1))
    mask = np.zeros(volume.shape, bool)
    mask[15, 14, 10] = True
    outline = Outline("one voxel", mask, GREEN)
    red = [
        (np.asarray(draw(volume, [outline], (0, 1), [Dot(index, (255, 0, 0))])) == (255, 0, 0))
        .all(-1)
        .sum()
        for index in (at, (15, 14, 10))
    ]
    assert (red[0] == red[1]) == (at == (15, 14, 10))
    assert 0 < red[0] <= red[1]


def test_a_volume_of_one_voxel_is_drawn():
    volume = Volume.from_array(np.zeros((1, 1, 1)), spacing=(1, 2, 3))
    picture = draw(volume, [Outline("it", np.ones((1, 1, 1), bool), GREEN)], (0, 0))
    assert isinstance(picture, Image.Image)
    assert picture.height > 400


def test_json_of_an_empty_bank_is_an_empty_list(capsys):
    with MemoryBank(memory_folder()):
        pass
    assert run(["memory", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
