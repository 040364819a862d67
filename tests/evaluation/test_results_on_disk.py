"""A folder of results: whatever moment a process ended at, whole lines are kept and told well."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trials import trial

from napari_fastsam3d.errors import EvaluationError
from napari_fastsam3d.evaluation import Trial, report, scores_of
from napari_fastsam3d.evaluation.report import Results, read_trials

TRIALS = [replace(trial(case=case), structure="Lebär | left") for case in "abc"]


@settings(max_examples=40)
@given(st.floats(0, 1))
def test_a_process_that_ended_at_any_byte_loses_what_it_was_writing_alone(tmp_path_factory, part):
    folder = tmp_path_factory.mktemp("run")
    results = Results(folder, {})
    for each in TRIALS:
        results.add(each)
    path = folder / "results.jsonl"
    content = path.read_bytes()
    length = round(part * len(content))
    path.write_bytes(content[:length])
    whole = (content[:length] + b"\n").count(b"}\n")
    again = Results(folder, {})
    assert again.trials == TRIALS[:whole]
    for each in TRIALS[whole:]:
        again.add(each)
    assert path.read_bytes() == content


@pytest.mark.parametrize("line", ["3", "[]", "null", '"a"', "{}", '{"clicks": 3}', "{", "\x00"])
@pytest.mark.parametrize("where", [0, 1])
def test_a_line_that_is_no_trial_is_told_by_its_number(tmp_path, line, where):
    lines = [json.dumps(asdict(each)) for each in TRIALS]
    lines.insert(where, line)
    (tmp_path / "results.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(EvaluationError, match=f"Line {where + 1} of"):
        read_trials(tmp_path)


@pytest.mark.parametrize("torn", [b"3", b"[]", b"null", b"\xff\xfe", b'{"dice": [0.1', b"\x00\x00"])
def test_a_last_line_that_is_no_trial_is_passed_over(tmp_path, torn):
    results = Results(tmp_path, {})
    results.add(TRIALS[0])
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(torn)
    assert Results(tmp_path, {}).trials == TRIALS[:1]


def test_settings_that_are_no_text_are_told(tmp_path):
    (tmp_path / "settings.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EvaluationError, match="--out"):
        Results(tmp_path, {})


def test_a_folder_without_results_has_none(tmp_path):
    assert read_trials(tmp_path) == read_trials(tmp_path / "absent") == []


unit = st.floats(0, 1)
trials = st.builds(
    lambda name, value, curve, box: replace(
        trial(value=value, dice=tuple(curve), box=box), structure=name
    ),
    st.text("aß|\n \u2028", min_size=1, max_size=12),
    st.integers(1, 9),
    st.lists(unit, min_size=1, max_size=4),
    st.none() | unit,
)


@given(trials)
def test_any_trial_comes_back_from_its_line(one):
    assert Trial.of_row(json.loads(json.dumps(asdict(one)))) == one


@pytest.mark.parametrize("missing", ["dice", "voxels", "set_name"])
def test_a_trial_lacks_nothing_and_has_nothing_more(missing):
    row = asdict(TRIALS[0])
    with pytest.raises(TypeError):
        Trial.of_row({**row, "colour": "red"})
    del row[missing]
    with pytest.raises(TypeError):
        Trial.of_row(row)


def rows_of(table):
    """The cells of a table in Markdown, told apart by a bar that is not escaped."""
    lines = table.replace("\\|", "\0").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("name", ["left | right", "|", "a\nb", "a\r\n|b", "leber"])
def test_no_name_breaks_a_table(name):
    named = replace(trial(dice=(0.2, 0.4)), structure=name, set_name=name, case=name)
    tables = [
        report.table_of_trials([named]),
        report.table_of_failures([named]),
        report.table_of_scores(scores_of([named], {name: name})),
        report.table_of_changes(scores_of([named], {name: "CT"}), scores_of([named], {name: "CT"})),
    ]
    for table in tables:
        head, rule, row = rows_of(table)
        assert len(head) == len(rule) == len(row)


@given(st.integers(1, 40))
def test_tables_show_clicks_that_were_made(clicks):
    shown = report.columns(clicks)
    assert shown == [n for n in (1, 2, 3, 5, 10) if n <= clicks]
    head, _, row = rows_of(report.table_of_trials([trial(dice=(0.5,) * clicks)]))
    assert [h for h in head if h.startswith("Dice")] == [f"Dice {n}" for n in shown]
    assert row.count("0.500") == len(shown)


@given(
    st.lists(unit, min_size=2, max_size=6),
    st.lists(unit, min_size=2, max_size=6),
)
def test_changes_have_the_other_sign_the_other_way_round(one, other):
    def signed(first, second):
        a, b = (scores_of([trial(dice=tuple(curve))], {"x": "CT"}) for curve in (first, second))
        return [float(cell) for cell in rows_of(report.table_of_changes(a, b))[2][2:]]

    there, back = signed(one, other), signed(other, one)
    assert there == pytest.approx([-value for value in back], abs=0.11)
    assert there[0] == pytest.approx(100 * (one[0] - other[0]), abs=0.051)
