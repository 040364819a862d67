# pyright: basic
"""What a user should know of a scan before clicking in it."""

from __future__ import annotations

from napari_fastsam3d._napari.frame import Frame

_UPRIGHT = 1.0


def scan_facts(frame: Frame) -> str:
    """Return size, voxel size, obliquity and what was assumed, in a few short lines."""
    volume = frame.volume
    voxels = " × ".join(str(count) for count in volume.shape)
    spacing = " × ".join(f"{size:.3g}" for size in volume.spacing)
    lines = [f"{voxels} voxels, {spacing} mm"]
    if volume.obliquity_degrees > _UPRIGHT:
        lines.append(
            f"Oblique by {volume.obliquity_degrees:.0f}°: shown along its own axes, saved as it is."
        )
    return "\n".join([*lines, *volume.notes, *frame.notes])
