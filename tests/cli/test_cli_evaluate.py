"""`evaluate` on real files: tables, results that go on, comparisons, errors in one line."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from napari_fastsam3d.cli import run


@pytest.fixture
def data(tmp_path):
    """Two sets of one bright cube each, one of two cases."""
    folder = tmp_path / "data"
    names = {"one": ["a", "b"], "two": ["c"]}
    for set_name, cases in names.items():
        home = folder / "labelled" / set_name
        home.mkdir(parents=True)
        for at, case in enumerate(cases):
            labels = np.zeros((24, 22, 20), np.uint8)
            labels[6 + at : 16, 5:14, 4:13] = 1
            image = 300 * labels.astype(np.int16)
            for kind, voxels in (("img", image), ("seg", labels)):
                nifti = nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0]))
                nifti.to_filename(home / f"{case}_{kind}.nii.gz")
        (home / "labels.json").write_text('{"labels": {"1": "cube"}, "modality": "CT"}')
    (folder / "split.json").write_text(json.dumps({"validation": names}))
    return folder


@pytest.fixture
def evaluate(data, tiny_weights, capsys):
    def call(*options, model=tiny_weights):
        given = [str(data), "--model", str(model), "--clicks", "3", "--device", "cpu"]
        code = run(["evaluate", *given, *map(str, options)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def rows(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_a_folder_is_evaluated_and_told_and_failures_are_drawn(evaluate, tmp_path):
    code, out, _ = evaluate("--out", tmp_path / "run")
    assert code == 0
    assert "| mean over sets | CT | 3 |" in out
    assert "not satisfied in 0 of 3" in out
    assert "lower than before: " in out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [s["name"] for s in summary["scores"]] == ["one", "two", "mean over sets"]
    assert [row["structure"] for row in rows(tmp_path / "run")] == ["cube"] * 3
    assert "mean over sets" in (tmp_path / "run" / "table.md").read_text()
    failed = [row for row in rows(tmp_path / "run") if row["dice"][-1] < 0.5]
    pictures = {path.name for path in (tmp_path / "run").glob("failures/*.png")}
    assert pictures == {f"{row['set_name']}_{row['case']}_{row['value']}.png" for row in failed}
    assert failed, "random weights draw no cube"


def test_a_stopped_evaluation_goes_on_with_the_same_weights_alone(evaluate, tmp_path):
    evaluate("--out", tmp_path / "run", "--cases-per-set", 1)
    before = rows(tmp_path / "run")
    assert [row["case"] for row in before] == ["a", "c"]
    code, out, _ = evaluate("--out", tmp_path / "run")
    after = rows(tmp_path / "run")
    assert code == 0
    assert after[:2] == before, "times and all: what was there was not computed anew"
    assert [row["case"] for row in after] == ["a", "c", "b"]
    assert "| mean over sets | CT | 3 |" in out
    code, _, err = evaluate("--out", tmp_path / "run", model="region-growing")
    assert code == 1
    assert "other settings or weights" in err


def test_two_evaluations_are_compared(evaluate, tmp_path):
    few = ("--cases-per-set", 1)
    evaluate("--out", tmp_path / "plain", *few)
    _, out, _ = evaluate("--against", tmp_path / "plain", *few)
    assert "Against plain" in out
    assert "+0.0" in out
    code, out, _ = evaluate("--against", tmp_path / "plain", "--zoom", 2, *few)
    assert code == 0
    assert "Against plain" in out
    code, _, err = evaluate("--against", tmp_path / "nothing", *few)
    assert code == 1
    assert err.splitlines() == [
        f"error: {tmp_path / 'nothing'} holds no evaluation. Name the --out of another evaluation."
    ]
    (tmp_path / "other").mkdir()
    lines = (tmp_path / "plain" / "results.jsonl").read_text().replace('"one"', '"three"')
    (tmp_path / "other" / "results.jsonl").write_text(lines.splitlines()[0] + "\n")
    code, out, _ = evaluate("--against", tmp_path / "other", *few)
    assert code == 0, "what was measured is told all the same"
    assert "| mean over sets | CT | 2 |" in out
    assert "holds none of these structures" in out


def test_a_baseline_is_evaluated_alike(evaluate, data):
    code, out, _ = evaluate("--json", model="region-growing")
    assert code == 0
    trials = json.loads(out)
    assert [t["case"] for t in trials] == ["a", "b", "c"]
    assert min(t["dice"][0] for t in trials) > 0.5, "the cubes are bright"


def test_files_are_evaluated_by_themselves(evaluate, data, tiny_weights, capsys):
    home = data / "labelled" / "one"
    given = ["--images", str(home), "--labels", str(home), "--names", str(home / "labels.json")]
    code = run(["evaluate", *given, "--model", str(tiny_weights), "--clicks", "1"])
    assert code == 0
    assert "| a | cube | 810 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--part", "test"], 1, "no part test"),
        (["--structure", "liver"], 1, "No structure to evaluate"),
        (["--images", "x.nii.gz", "--labels", "y.nii.gz"], 2, "either DATA"),
        (["--cases-per-set", "0"], 2, "cases-per-set"),
    ],
)
def test_mistakes_are_told_in_one_line(evaluate, options, code, told):
    found, _, err = evaluate(*options)
    assert found == code
    assert told in err.splitlines()[-1]


def test_a_folder_that_lacks_a_case_is_told(evaluate, data):
    shutil.rmtree(data / "labelled" / "two")
    code, _, err = evaluate()
    assert code == 1
    assert "Complete the folder" in err


def test_what_an_evaluation_is_held_against_is_looked_at_before_and_may_have_nothing_in_common(
    evaluate, tmp_path
):
    quick = ("--clicks", "1", "--cases-per-set", "1")
    out, other, empty = (tmp_path / name for name in ("out", "other", "empty"))
    empty.mkdir()
    for absent in (empty, tmp_path / "nowhere"):
        code, told, err = evaluate(
            "--against", absent, "--out", out, *quick, model="region-growing"
        )
        assert (code, told) == (1, "")
        assert err.splitlines()[-1] == (
            f"error: {absent} holds no evaluation. Name the --out of another evaluation."
        )
        assert not out.exists()
    assert evaluate("--out", other, *quick, model="region-growing")[0] == 0
    kept = (other / "results.jsonl").read_text()
    code, told, _ = evaluate("--against", other, *quick, model="region-growing")
    assert code == 0
    assert "Against other, in points:" in told
    (other / "results.jsonl").write_text(kept.replace('"one"', '"1"').replace('"two"', '"2"'))
    code, told, _ = evaluate("--against", other, *quick, model="region-growing")
    assert code == 0
    assert f"{other} holds none of these structures; there is nothing to compare." in told
    (other / "results.jsonl").write_text("{}\n" + kept)
    code, told, err = evaluate("--against", other, *quick, model="region-growing")
    assert code == 1
    assert "Line 1 of" in err.splitlines()[-1]
