"""`napari-fastsam3d evaluate`: how good a model is after each simulated click."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_fastsam3d.cli.chosen_segmenter import chosen_segmenter
from napari_fastsam3d.errors import DataError, EvaluationError

if TYPE_CHECKING:
    from napari_fastsam3d.evaluation import Protocol, Segmenter, Trial
    from napari_fastsam3d.evaluation.dataset import LabelledCase
    from napari_fastsam3d.evaluation.report import Results, RunSettings
    from napari_fastsam3d.evaluation.score import Score


DataArgument = Annotated[Path | None, typer.Argument(help="Folder with split.json and labelled/.")]
CasesOption = Annotated[
    int | None, typer.Option(min=1, help="Take so many cases of a set, evenly spaced.")
]
ImagesOption = Annotated[
    Path | None, typer.Option(help="A scan, or a folder of *_img.nii.gz, instead of DATA.")
]
LabelsOption = Annotated[Path | None, typer.Option(help="Its labels, or a folder of *_seg.nii.gz.")]
NamesOption = Annotated[
    Path | None, typer.Option(help="JSON file that names the values of --labels.")
]
StructureOption = Annotated[
    list[str] | None, typer.Option(help="A name or value to evaluate; may be repeated.")
]
RandomFirstClickOption = Annotated[
    bool, typer.Option("--random-first-click", help="Click anywhere first, not in the middle.")
]
SliceThicknessOption = Annotated[
    float | None, typer.Option(min=0.1, help="Evaluate in slices at least so thick, mm.")
]
ZoomOption = Annotated[
    float, typer.Option(min=0.1, max=10, help="Evaluate on voxels so many times as large.")
]
ShiftOption = Annotated[
    float, typer.Option(min=0, max=48, help="Move first crops aside by up to so many voxels.")
]
SliceWiseOption = Annotated[
    bool, typer.Option("--slice-wise", help="Show the model one slice at a time, as a 2D SAM.")
]
AdaptedOption = Annotated[
    str,
    typer.Option(help="off, clicks (adapters answer), or automatic (clicks correct their masks)."),
]
ModelOption = Annotated[
    str,
    typer.Option(help="A model's name, a file of weights, random-walker or region-growing."),
]
OutOption = Annotated[
    Path | None, typer.Option(help="Folder for results; an evaluation found there goes on.")
]
AgainstOption = Annotated[
    Path | None, typer.Option(help="--out of another evaluation, to tell the difference.")
]


@dataclass(frozen=True)
class _Data:
    """The cases, and what is known of their sets."""

    cases: "list[LabelledCase]"
    names: Callable[[str], dict[int, str]]
    modality: Callable[[str], str]
    part: str


def _data_of_folder(folder: Path, part: str, cases_per_set: int | None) -> _Data:
    from napari_fastsam3d.evaluation import dataset as data_folder

    cases = data_folder.labelled_cases(folder, part)
    if cases_per_set is not None:
        cases = data_folder.evenly_spaced(cases, cases_per_set)
    return _Data(
        cases,
        lambda set_name: data_folder.label_names(folder, set_name),
        lambda set_name: data_folder.modality(folder, set_name),
        part,
    )


def _data_of_pairs(images: Path, labels: Path, names: Path | None) -> _Data:
    from napari_fastsam3d.evaluation.dataset import UNKNOWN, names_in, paired_cases

    table = {} if names is None else names_in(names)
    return _Data(paired_cases(images, labels), lambda _: table, lambda _: UNKNOWN, "pairs")


def _trials(
    data: _Data,
    segmenter: "Segmenter",
    protocol: "Protocol",
    wanted: frozenset[str],
    results: "Results | None",
) -> "Iterator[Trial]":
    """Yield every trial, those that are in the results already as they are."""
    from napari_fastsam3d.evaluation import run_trial, targets_of
    from napari_fastsam3d.evaluation.score import FAILED

    known = {trial.key: trial for trial in results.trials} if results else {}
    for case in data.cases:
        for target in targets_of(case, protocol, data.names(case.set_name), wanted):
            if target.key in known:
                yield known[target.key]
                continue
            trial, mask = run_trial(target, segmenter, protocol)
            if results:
                if trial.dice[-1] < FAILED:
                    from napari_fastsam3d.cli.picture import draw_trial

                    pictures = results.folder / "failures"
                    pictures.mkdir(exist_ok=True)
                    name = "_".join(str(part) for part in target.key)
                    draw_trial(target, trial, mask).save(pictures / f"{name}.png")
                results.add(trial)
            yield trial


def _settings(
    segmenter: "Segmenter", data: _Data, wanted: frozenset[str], protocol: "Protocol"
) -> "RunSettings":
    return {
        "model": segmenter.name,
        "fingerprint": segmenter.fingerprint,
        "part": data.part,
        "structures": sorted(wanted),
        **asdict(protocol),
    }


def _write(
    results: "Results", settings: "RunSettings", trials: "list[Trial]", scores: "list[Score]"
) -> None:
    from napari_fastsam3d.evaluation import report
    from napari_fastsam3d.evaluation.score import FAILED

    report.write_summary(results.folder / "summary.json", settings, scores)
    tables = report.table_of_scores(scores)
    failed = [trial for trial in trials if trial.dice[-1] < FAILED]
    if failed:
        tables += "\n" + report.table_of_failures(failed)
    (results.folder / "table.md").write_text(tables, encoding="utf-8")
    try:
        report.draw_curves(results.folder / "curves.png", scores)
    except ImportError:
        typer.echo("curves.png was not drawn: matplotlib is not installed", err=True)


def _other_trials(against: Path) -> "list[Trial]":
    from napari_fastsam3d.evaluation.report import read_trials

    found = read_trials(against)
    if not found:
        raise EvaluationError(
            f"{against} holds no evaluation.", "Name the --out of another evaluation."
        )
    return found


def _changes(trials: "list[Trial]", modalities: dict[str, str], against: Path) -> str:
    from napari_fastsam3d.evaluation import report, scores_of
    from napari_fastsam3d.evaluation.score import in_common

    ours, theirs = in_common(trials, _other_trials(against))
    if not ours:
        return f"{against} holds none of these structures; there is nothing to compare.\n"
    changes = report.table_of_changes(scores_of(ours, modalities), scores_of(theirs, modalities))
    return f"Against {against.name}, in points:\n\n{changes}"


def _report(
    trials: "list[Trial]",
    scores: "list[Score]",
    modalities: dict[str, str],
    data: _Data,
    against: Path | None,
) -> str:
    from napari_fastsam3d.evaluation import report

    tables = [report.table_of_scores(scores)]
    if data.part == "pairs":
        tables.insert(0, report.table_of_trials(trials))
    if against is not None:
        tables.append(_changes(trials, modalities, against))
    begun = [t.unprompted_dice for t in trials if t.unprompted_dice is not None]
    if begun:
        mean = sum(begun) / len(begun)
        tables.append(f"Without a prompt: mean Dice {mean:.3f} of {len(begun)} structures.\n")
    unsatisfied = sum(not all(trial.satisfied) for trial in trials)
    falls = ", ".join(map(str, scores[-1].falls)) or "none"
    tables.append(
        f"A click constraint was not satisfied in {unsatisfied} of {len(trials)} structures.\n"
        f"Clicks after which the mean Dice was lower than before: {falls}."
    )
    return "\n".join(tables)


def evaluate(
    data: DataArgument = None,
    part: Annotated[str, typer.Option(help="Part of the split.")] = "validation",
    cases_per_set: CasesOption = None,
    images: ImagesOption = None,
    labels: LabelsOption = None,
    names: NamesOption = None,
    structure: StructureOption = None,
    clicks: Annotated[int, typer.Option(min=1, help="Simulated clicks a structure.")] = 10,
    most: Annotated[int, typer.Option(min=1, help="Largest structures taken of a case.")] = 6,
    smallest: Annotated[int, typer.Option(min=1, help="Voxels a structure needs.")] = 200,
    random_first_click: RandomFirstClickOption = False,
    slice_thickness: SliceThicknessOption = None,
    zoom: ZoomOption = 1.0,
    shift: ShiftOption = 0.0,
    slice_wise: SliceWiseOption = False,
    adapted: AdaptedOption = "off",
    model: ModelOption = "default",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: OutOption = None,
    against: AgainstOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Segment known structures by simulated clicks and tell Dice and surface Dice after each.

    Every click falls in the middle of the largest error, positive or negative; one more column
    tells what a single box does. Give a data folder, or --images and --labels.
    """
    from napari_fastsam3d.cli.progress import progress_line
    from napari_fastsam3d.evaluation import Protocol, scores_of
    from napari_fastsam3d.evaluation.report import Results

    chosen = _chosen(data, part, cases_per_set, images, labels, names)
    if against is not None:
        _other_trials(against)  # told before hours of work, not after
    protocol = Protocol(clicks, most, smallest, random_first_click, slice_thickness, zoom, shift)
    wanted = frozenset(structure or ())
    trials: list[Trial] = []
    with (
        progress_line() as show,
        chosen_segmenter(model, device, shift, slice_wise, adapted) as segmenter,
    ):
        settings = _settings(segmenter, chosen, wanted, protocol)
        results = None if out is None else Results(out, settings)
        for trial in _trials(chosen, segmenter, protocol, wanted, results):
            trials.append(trial)
            dice = f"{trial.dice[0]:.3f} -> {trial.dice[-1]:.3f}"
            show(f"{trial.set_name} {trial.case} {trial.structure}: {dice}")
    modalities = _modalities(trials, chosen)
    scores = scores_of(trials, modalities)
    if results:
        _write(results, settings, trials, scores)
    typer.echo(
        json.dumps([asdict(trial) for trial in trials], indent=1)
        if as_json
        else _report(trials, scores, modalities, chosen, against)
    )


def _chosen(
    data: Path | None,
    part: str,
    cases_per_set: int | None,
    images: Path | None,
    labels: Path | None,
    names: Path | None,
) -> _Data:
    if data is not None and images is None and labels is None:
        return _data_of_folder(data, part, cases_per_set)
    if data is None and images is not None and labels is not None:
        return _data_of_pairs(images, labels, names)
    raise typer.BadParameter("Give either DATA, or --images and --labels.")


def _modalities(trials: "list[Trial]", chosen: _Data) -> dict[str, str]:
    """Tell what the scans of each set are; DataError where nothing was evaluated."""
    if not trials:
        raise DataError("No structure to evaluate was found.", "Check --structure and --smallest.")
    return {name: chosen.modality(name) for name in {t.set_name for t in trials}}
