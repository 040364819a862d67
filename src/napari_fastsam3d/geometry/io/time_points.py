"""Which volume of a file of several."""

from napari_fastsam3d.errors import VolumeError


def choose_frame(name: str, frames: int, frame: int | None) -> int:
    """Return the index of the volume to read.

    Parameters
    ----------
    name : str
        What to call the file in an error.
    frames : int
        How many volumes it holds.
    frame : int or None
        Which one was asked for, from 0.

    Raises
    ------
    VolumeError
        If there are several and none was asked for, or the one asked for isn't there.
    """
    if frame is None and frames == 1:
        return 0
    if frame is None:
        raise VolumeError(
            f"{name} holds {frames} volumes.",
            f"Choose one: frame=0 to frame={frames - 1} (--frame on the command line).",
        )
    if not 0 <= frame < frames:
        raise VolumeError(
            f"{name} has no frame {frame}; it holds {frames}.",
            f"Choose a frame from 0 to {frames - 1}.",
        )
    return frame
