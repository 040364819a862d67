import json

import pytest
from PIL import Image
from trials import trial

from napari_fastsam3d.evaluation import report, scores_of

CURVE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def scores(dice=CURVE):
    return scores_of([trial("x", dice=dice), trial("y", dice=dice)], {"x": "CT", "y": "MR"})


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_a_table_has_a_line_a_set_and_only_clicks_that_were_made():
    head, _, *rows = cells(report.table_of_scores(scores()))
    assert [row[0] for row in rows] == ["x", "y", "mean of CT", "mean of MR", "mean over sets"]
    assert [h for h in head if h.startswith("Dice")] == ["Dice 1", "Dice 2", "Dice 3", "Dice 5"]
    assert rows[0][head.index("Dice 5")] == "0.500"
    assert all(len(row) == len(head) for row in rows)


def test_changes_are_told_in_points():
    worse = scores(tuple(d - 0.05 for d in CURVE))
    head, _, *rows = cells(report.table_of_changes(worse, scores()))
    assert rows[-1][head.index("Dice 3")] == "-5.0"


def test_the_worst_trial_comes_first():
    trials = [trial(case="good", dice=(0.9,)), trial(case="bad", dice=(0.1,))]
    assert [row[1] for row in cells(report.table_of_failures(trials))[2:]] == ["bad", "good"]


def test_the_summary_can_be_read_again(tmp_path):
    report.write_summary(tmp_path / "summary.json", {"model": "tiny"}, scores())
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["settings"] == {"model": "tiny"}
    assert summary["scores"][-1]["dice"] == pytest.approx(CURVE)


def test_curves_are_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="curves need the extra 'train'")
    report.draw_curves(tmp_path / "curves.png", scores())
    assert Image.open(tmp_path / "curves.png").width > 800
