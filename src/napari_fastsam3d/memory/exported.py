"""The file that cases of a bank are exported to: a zip archive of their files."""

import zipfile
import zlib
from pathlib import Path

from napari_fastsam3d.errors import MemoryBankError
from napari_fastsam3d.memory.case import Case

SUFFIX = ".safetensors"

# Larger than any case: a file that isn't a bank is not unpacked into memory.
_LARGEST_CASE = 256 << 20


def exported_cases(path: Path) -> list[Case]:
    """Read the cases of an exported bank; MemoryBankError if it isn't one, or is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [each for each in archive.infolist() if each.filename.endswith(SUFFIX)]
            if not members or any(each.file_size > _LARGEST_CASE for each in members):
                raise ValueError("it holds no cases")
            return [Case.of_bytes(archive.read(each)) for each in members]
    except (OSError, ValueError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise MemoryBankError(
            f"{path.name} isn't an exported memory bank, or is damaged: {error}.",
            "Export it again; nothing was added.",
        ) from error
