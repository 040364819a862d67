"""How commands are told which scan they work on."""

from pathlib import Path
from typing import Annotated

import typer

Scan = Annotated[
    Path, typer.Argument(help="A NIfTI, NRRD or MHA file, or a folder with a DICOM series.")
]
Frame = Annotated[int | None, typer.Option(help="Which volume of a 4D file, counted from 0.")]
Series = Annotated[
    str | None, typer.Option(help="Which volume of a DICOM folder or file with several.")
]
