"""How good a model was on a set, on several sets, and against another evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

from napari_fastsam3d.evaluation.trial import Trial

FAILED = 0.5
"""A trial that ends with a lower Dice has failed."""

WORSE = 0.01
"""A click that costs more Dice than this has made the mask worse."""


@dataclass(frozen=True)
class Score:
    """What the trials of one set came to, or the mean of several sets.

    Attributes
    ----------
    name : str
        Of the set, or of the sets together.
    modality : str
        Of all its sets, or "all" where they differ.
    cases, trials, failures : int
        How many; of several sets, their sums.
    dice, nsd : tuple of float
        Means after each click.
    area : float
        Area under the curve of Dice over clicks, 0 to 1.
    box_dice, box_nsd : float or None
        Means after a box and nothing else.
    unsatisfied : int
        Trials in which a click constraint was not satisfied by the mask that answered it.
    worse : float
        The share of clicks after the first that made the mask worse.
    falls : tuple of int
        Clicks after which the mean Dice was lower than before them.
    milliseconds : float
        The mean of a click.
    best_candidate : float or None
        Mean of the best of what a first click may mean.
    """

    name: str
    modality: str
    cases: int
    trials: int
    failures: int
    dice: tuple[float, ...]
    nsd: tuple[float, ...]
    area: float
    box_dice: float | None
    box_nsd: float | None
    unsatisfied: int
    worse: float
    falls: tuple[int, ...]
    milliseconds: float
    best_candidate: float | None = None


def score_of_trials(name: str, modality: str, trials: Sequence[Trial]) -> Score:
    """Score one set.

    Parameters
    ----------
    name, modality : str
        Of the set.
    trials : sequence of Trial
        At least one, all with as many clicks.
    """
    dice = _means([trial.dice for trial in trials])
    steps = [after - before for t in trials for before, after in pairwise(t.dice)]
    return Score(
        name=name,
        modality=modality,
        cases=len({trial.case for trial in trials}),
        trials=len(trials),
        failures=sum(trial.dice[-1] < FAILED for trial in trials),
        dice=dice,
        nsd=_means([trial.nsd for trial in trials]),
        area=mean(area_under(trial.dice) for trial in trials),
        box_dice=_mean_of_known([trial.box_dice for trial in trials]),
        box_nsd=_mean_of_known([trial.box_nsd for trial in trials]),
        unsatisfied=sum(not all(trial.satisfied) for trial in trials),
        worse=mean(step < -WORSE for step in steps) if steps else 0.0,
        falls=_falls(dice),
        milliseconds=mean(mean(trial.milliseconds) for trial in trials),
        best_candidate=_mean_of_known([trial.best_candidate for trial in trials]),
    )


def mean_over_sets(name: str, scores: Sequence[Score]) -> Score:
    """Give the mean of the means of several sets, each of one weight; at least one."""
    dice = _means([score.dice for score in scores])
    modalities = {score.modality for score in scores}
    return Score(
        name=name,
        modality=modalities.pop() if len(modalities) == 1 else "all",
        cases=sum(score.cases for score in scores),
        trials=sum(score.trials for score in scores),
        failures=sum(score.failures for score in scores),
        dice=dice,
        nsd=_means([score.nsd for score in scores]),
        area=mean(score.area for score in scores),
        box_dice=_mean_of_known([score.box_dice for score in scores]),
        box_nsd=_mean_of_known([score.box_nsd for score in scores]),
        unsatisfied=sum(score.unsatisfied for score in scores),
        worse=mean(score.worse for score in scores),
        falls=_falls(dice),
        milliseconds=mean(score.milliseconds for score in scores),
        best_candidate=_mean_of_known([score.best_candidate for score in scores]),
    )


def scores_of(trials: Sequence[Trial], modalities: Mapping[str, str]) -> list[Score]:
    """Score every set, then CT and MR each by itself where there are both, then all sets.

    Parameters
    ----------
    trials : sequence of Trial
        At least one.
    modalities : mapping of str to str
        The modality of each set.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.set_name, []).append(trial)
    sets = [score_of_trials(name, modalities[name], group) for name, group in groups.items()]
    if len(sets) == 1:
        return sets
    kinds = sorted({score.modality for score in sets})
    by_kind = [
        mean_over_sets(f"mean of {kind}", [score for score in sets if score.modality == kind])
        for kind in kinds
        if len(kinds) > 1
    ]
    return [*sets, *by_kind, mean_over_sets("mean over sets", sets)]


def in_common(trials: Sequence[Trial], others: Sequence[Trial]) -> tuple[list[Trial], list[Trial]]:
    """Give the trials of two evaluations that are of the same structures, in one order."""
    found = {trial.key: trial for trial in others}
    both = [trial for trial in trials if trial.key in found]
    return both, [found[trial.key] for trial in both]


def area_under(dice: Sequence[float]) -> float:
    """Give the area under Dice over clicks, by trapezoids, divided by its width."""
    if len(dice) == 1:
        return dice[0]
    return mean((before + after) / 2 for before, after in pairwise(dice))


def _means(curves: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(mean(values) for values in zip(*curves, strict=True))


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _falls(dice: Sequence[float]) -> tuple[int, ...]:
    return tuple(at for at, (a, b) in enumerate(pairwise(dice), start=2) if b < a)
