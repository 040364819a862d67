"""Trials made by hand."""

from napari_fastsam3d.evaluation import Trial


def trial(set_name="x", case="a", value=1, dice=(0.2, 0.6), box=None, satisfied=None):
    return Trial(
        set_name=set_name,
        case=case,
        structure=f"structure {value}",
        value=value,
        voxels=300,
        spacing=(1.0, 1.0, 2.0),
        clicks=tuple(((n, 2, 3), True) for n in range(len(dice))),
        dice=dice,
        nsd=tuple(d / 2 for d in dice),
        box_dice=box,
        box_nsd=box,
        milliseconds=(10.0,) * len(dice),
        satisfied=(True,) * len(dice) if satisfied is None else satisfied,
    )
