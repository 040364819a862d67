"""How a structure is taught, by the name of a protocol."""

from typing import cast

from napari_fastsam3d.errors import AdapterError
from napari_fastsam3d.model.adaptation import KINDS, AdapterConfig, Kind
from napari_fastsam3d.training.adaptation.outcome import TeachingOptions

PROTOCOLS = ("clicks", "samed")
"""With clicks as in use; or without, as SAMed is trained."""


def options_of(
    protocol: str = "clicks",
    kind: str | None = None,
    encoder: bool = False,
    steps: int | None = None,
    folds: int | None = None,
) -> TeachingOptions:
    """Return the options of a protocol, some of them changed.

    Raises
    ------
    AdapterError
        If there is no such protocol or kind.
    """
    if protocol not in PROTOCOLS:
        raise AdapterError(
            f"There is no protocol {protocol!r}.", f"Choose one of {', '.join(PROTOCOLS)}."
        )
    samed = protocol == "samed"
    kind = kind or ("lora" if samed else "bottleneck")
    chosen = cast(Kind, kind)
    if chosen not in KINDS:
        raise AdapterError(f"There is no kind {kind!r}.", f"Choose one of {', '.join(KINDS)}.")
    config = AdapterConfig(chosen, encoder=encoder or (samed and chosen == "lora"))
    plain = TeachingOptions(config)
    return TeachingOptions(
        config,
        steps=plain.steps if steps is None else steps,
        folds=plain.folds if folds is None else folds,
        measured=folds != 0,
        samed=samed,
    )
