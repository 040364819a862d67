"""One check of the doctor, a line of its report."""

from dataclasses import asdict, dataclass
from typing import Literal

Verdict = Literal["OK", "warning", "fail"]


@dataclass(frozen=True)
class Check:
    """What one check of the doctor found.

    Parameters
    ----------
    name : str
        What was looked at, in one or two words.
    verdict : {"OK", "warning", "fail"}
        A warning is something the user may want and lacks; a failure stops segmentation.
    text : str
        What was found.
    remedy : str, optional
        The command, or the deed, that fixes it.
    """

    name: str
    verdict: Verdict
    text: str
    remedy: str | None = None

    @classmethod
    def ok(cls, name: str, text: str) -> "Check":
        """Report something as it should be."""
        return cls(name, "OK", text)

    @classmethod
    def warning(cls, name: str, text: str, remedy: str | None = None) -> "Check":
        """Report something that is missing but not needed for everything."""
        return cls(name, "warning", text, remedy)

    @classmethod
    def fail(cls, name: str, text: str, remedy: str | None = None) -> "Check":
        """Report something without which nothing can be segmented."""
        return cls(name, "fail", text, remedy)

    def as_dict(self) -> dict[str, str | None]:
        """Give the fields by name, for JSON."""
        return asdict(self)
