import pytest
from trials import trial

from napari_fastsam3d.errors import EvaluationError
from napari_fastsam3d.evaluation.report import Results, read_trials

SETTINGS = {"model": "tiny", "clicks": 2}


def test_an_evaluation_goes_on_where_it_stopped(tmp_path):
    results = Results(tmp_path / "run", SETTINGS)
    results.add(trial(case="a"))
    results.add(trial(case="b"))
    path = tmp_path / "run" / "results.jsonl"
    path.write_text(path.read_text()[:-40])  # killed while it wrote
    again = Results(tmp_path / "run", SETTINGS)
    assert again.trials == [trial(case="a")]
    again.add(trial(case="b"))
    assert read_trials(tmp_path / "run") == [trial(case="a"), trial(case="b")]


def test_other_settings_are_not_mixed_in(tmp_path):
    Results(tmp_path, SETTINGS)
    with pytest.raises(EvaluationError, match="other settings"):
        Results(tmp_path, {**SETTINGS, "clicks": 5})


def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluationError, match="cannot be written"):
        Results(tmp_path / "file" / "run", SETTINGS)


def test_a_damaged_line_is_told(tmp_path):
    Results(tmp_path, SETTINGS).add(trial())
    path = tmp_path / "results.jsonl"
    path.write_text('{"dice": 3}\n' + path.read_text())
    with pytest.raises(EvaluationError, match="Line 1"):
        read_trials(tmp_path)
