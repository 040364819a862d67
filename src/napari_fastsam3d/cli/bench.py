"""`napari-fastsam3d bench`: what a click costs on this machine."""

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from napari_fastsam3d.geometry import Volume
    from napari_fastsam3d.geometry.box import Index
    from napari_fastsam3d.model.base_predictor import BasePredictor
    from napari_fastsam3d.session import ModelThread


@dataclass(frozen=True)
class Cost:
    """What one model costs on one device; times are medians in milliseconds.

    Parameters
    ----------
    model, device, dtype : str
        What was measured, and on what.
    encode : float
        One crop of 128^3 voxels through the image encoder.
    first_click : float
        The first click on a new crop, from the prompt to the mask on the source grid: cutting the
        crop, encoding and decoding it, bringing the mask back.
    next_click : float
        A further click on the same crop.
    peak_memory : float or None
        The most main memory that the process has held, in MiB; None where the system won't tell.
    """

    model: str
    device: str
    dtype: str
    encode: float
    first_click: float
    next_click: float
    peak_memory: float | None


def peak_memory() -> float | None:
    """Give the most main memory that this process has held so far, in MiB, if it can be known."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _milliseconds_to_encode(predictor: "BasePredictor", volume: "Volume", centre: "Index") -> float:
    import torch

    from napari_fastsam3d.geometry import Crop

    crop = Crop.around(volume, centre, predictor.start_spacing, predictor.crop_size)
    raw = crop.extract(volume.voxels, floor=volume.intensity_floor)
    image = predictor.normalise(raw, crop.inside)
    began = time.perf_counter()
    predictor.encode(image)
    if predictor.device.type == "cuda":
        torch.cuda.synchronize(predictor.device)
    return 1000 * (time.perf_counter() - began)


def _milliseconds_of_clicks(
    thread: "ModelThread", volume: "Volume", clicks: "list[Index]"
) -> list[float]:
    from napari_fastsam3d.session import Session

    with Session(volume, model=thread) as session:
        return [session.add_point(click).milliseconds for click in clicks]


def measure(thread: "ModelThread", volume: "Volume", clicks: "list[Index]", runs: int) -> Cost:
    """Measure one model, after one run that does not count.

    Everything is computed in the model's one thread, as in the window: threads that take turns at
    computing each bring their own helpers, which get in each other's way.

    Parameters
    ----------
    thread : ModelThread
        Of the model, which is loaded already.
    volume : Volume
        What is clicked in.
    clicks : list of source indices
        At least two, inside one structure; each run begins a new session with them.
    runs : int
        How many runs the medians are taken over.
    """
    predictor = cast("BasePredictor", thread.predictor)
    encode: list[float] = []
    series: list[list[float]] = []
    for _ in range(runs + 1):
        encode.append(thread.submit(_milliseconds_to_encode, predictor, volume, clicks[0]).result())
        series.append(_milliseconds_of_clicks(thread, volume, clicks))
    return Cost(
        model=predictor.name,
        device=str(predictor.device),
        dtype=str(predictor.dtype).removeprefix("torch."),
        encode=statistics.median(encode[1:]),
        first_click=statistics.median(run[0] for run in series[1:]),
        next_click=statistics.median(ms for run in series[1:] for ms in run[1:]),
        peak_memory=peak_memory(),
    )


def _clicks_in_the_liver() -> "tuple[Volume, list[Index]]":
    import numpy as np

    from napari_fastsam3d.geometry import torso_phantom

    volume, labels, names = torso_phantom()
    liver = next(value for value, name in names.items() if name == "liver")
    inside = np.argwhere(labels == liver)
    order = np.argsort(((inside - inside.mean(axis=0)) ** 2).sum(axis=1))
    clicks = [tuple(int(n) for n in inside[at]) for at in order[[0, 50, 100, 150]]]
    return volume, [(i, j, k) for i, j, k in clicks]


def _print_table(costs: list[Cost]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("model", "device", "precision", title="milliseconds, median")
    for heading in ("encode", "first click", "next click", "peak memory"):
        table.add_column(heading, justify="right")
    for cost in costs:
        memory = "?" if cost.peak_memory is None else f"{cost.peak_memory:.0f} MiB"
        times = (cost.encode, cost.first_click, cost.next_click)
        table.add_row(
            escape(cost.model), cost.device, cost.dtype, *(f"{time:.1f}" for time in times), memory
        )
    Console().print(table)


def bench(
    model: Annotated[str, typer.Option(help="A model's name, or a file of weights.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    runs: Annotated[int, typer.Option(min=1, help="Runs that each median is taken over.")] = 7,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list instead of the table.")
    ] = False,
) -> None:
    """Measure what encoding a crop and a click cost on this machine, on a phantom."""
    from napari_fastsam3d.cli.progress import progress_line
    from napari_fastsam3d.session import ModelThread

    with progress_line() as show:
        show("making the phantom")
        volume, clicks = _clicks_in_the_liver()
        show(f"loading the model {model}")
        with ModelThread(model, device) as thread:
            # There, as in the window: loading elsewhere leaves helpers of another thread behind.
            thread.load().result()
            show(f"measuring {runs} runs")
            costs = [measure(thread, volume, clicks, runs)]
    if as_json:
        json.dump([asdict(cost) for cost in costs], sys.stdout, indent=2)
        print()
    else:
        _print_table(costs)
