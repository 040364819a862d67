"""Refusals and notes that several readers share, and damage reported in one sentence."""

import zlib
from collections.abc import Generator
from contextlib import contextmanager
from gzip import BadGzipFile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError

TURNED_ROUND = "The file gives negative voxel sizes: those axes are turned round, as by ITK."
FIX_HEADER = "Fix the header, or convert the scan from its DICOM files again."
_WITH_DATA_FILE = (".mhd", ".nhdr")


@contextmanager
def reported_damage(path: Path, *also: type[Exception]) -> Generator[None]:
    """Turn what reading damaged files raises into VolumeError.

    Parameters
    ----------
    path : Path
        The file being read.
    *also : exception types
        What else means that a header makes no sense.
    """
    try:
        yield
    except (EOFError, zlib.error, BadGzipFile) as error:
        data_too = ", with its data file" if path.suffix.lower() in _WITH_DATA_FILE else ""
        raise VolumeError(
            f"{path.name} is damaged: {_sentence(error)}",
            f"Copy or download the file again{data_too}.",
        ) from error
    except (KeyError, IndexError, ValueError, OverflowError, *also) as error:
        raise VolumeError(
            f"The header of {path.name} makes no sense: {_sentence(error)}", FIX_HEADER
        ) from error


def no_sizes(path: Path, where: str) -> VolumeError:
    """Return the refusal of a file that doesn't say how large its voxels are, and where it could.

    Parameters
    ----------
    path : Path
    where : str
        The field of the header.
    """
    return VolumeError(
        f"{path.name} does not say how large its voxels are: it has no usable {where}.",
        f"Set {where} in the header, or convert the scan from DICOM again.",
    )


def no_unit(path: Path, told: str) -> VolumeError:
    """Return the refusal of a file that measures in no known unit of length."""
    return VolumeError(
        f"{path.name} measures in {told}, which is no unit of length that is known here.",
        "Set the unit in the header to mm, and the voxel size to match.",
    )


def two_sizes(
    path: Path, one: str, sizes: NDArray[Any], other: str, others: NDArray[Any]
) -> VolumeError:
    """Return the refusal of a file that says two things of the size of its voxels."""
    first, second = (" x ".join(f"{size:.4g}" for size in each) for each in (sizes, others))
    return VolumeError(
        f"{path.name} says that its voxels are {first} ({one}) and {second} ({other}).",
        "Take the wrong ones out of the header, or convert the scan from DICOM again.",
    )


def colour_refused(path: Path) -> VolumeError:
    """Return the refusal of a file with several numbers in each voxel."""
    return VolumeError(
        f"{path.name} holds a colour or a vector in each voxel, not one intensity.",
        "Choose a grey-scale volume, or save one channel as a file of its own.",
    )


def _sentence(error: Exception) -> str:
    told = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(told.split()).rstrip(".") + "."


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
