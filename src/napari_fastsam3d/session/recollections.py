"""What a memory said to a session, kept with its log so that replay is exact."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from napari_fastsam3d.inference.json_values import index, whole
from napari_fastsam3d.inference.memory_prompt import question_of
from napari_fastsam3d.inference.prompt import Prompt
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.question import WAYS, Answer, Question, RecalledCase
from napari_fastsam3d.session.state import SessionState

Said = tuple[Question, Answer]

_DIFFER = "The masks were made with remembered cases, and will differ when they are made again: "


class Recollections:
    """The answers of a memory, and which of them went into masks that were shown.

    Attributes
    ----------
    answers : dict of Question to Answer
        All, also to what was only asked ahead of a click.
    """

    def __init__(self) -> None:
        self.answers: dict[Question, Answer] = {}
        self._used: dict[Question, None] = {}

    def use(self, prompts: Sequence[Prompt]) -> bool:
        """Note that a mask of these prompts was shown; gives whether there is more to be kept."""
        question = _latest(question_of(prompts, ""), self.answers)
        if question is None or question in self._used:
            return False
        self._used[question] = None
        return True

    def of(self, prompts: Sequence[Prompt]) -> Answer:
        """Return what was said last of an object; an empty answer where nothing was."""
        question = _latest(question_of(prompts, ""), self._used)
        return Answer() if question is None else self.answers[question]

    def used(self, state: SessionState | None = None) -> list[Said]:
        """Return what went into masks, by default of all that was ever done."""
        said = [(each, self.answers[each]) for each in list(self._used)]
        if state is None:
            return said
        asked = {question_of(each.told, "") for each in state.objects}
        return [each for each in said if replace(each[0], model="") in asked]

    def add(self, said: Iterable[Said]) -> None:
        """Answer so from now on, whatever is remembered by then."""
        for question, answer in said:
            self.answers[question] = answer
            self._used[question] = None

    def missing(self, bank: MemoryBank | None) -> str | None:
        """Say so where cases that were used are not in a bank; None where all are."""
        wanted = {case.id for _, answer in self.used() for case in answer.cases}
        if not wanted:
            return None
        if bank is None:
            return f"{_DIFFER}this session has no memory."
        lost = len(wanted - {entry.id for entry in bank.list()})
        return f"{_DIFFER}{lost} of {len(wanted)} are not in this memory." if lost else None


def _latest(asked: Question | None, among: Iterable[Question]) -> Question | None:
    """Return the last of those that were asked, of whichever model, that is the same question."""
    if asked is None:
        return None
    return next((each for each in [*among][::-1] if replace(each, model="") == asked), None)


def said_to_json(said: Iterable[Said]) -> list[dict[str, Any]]:
    """Return answers as what `json.dumps` takes."""
    return [{"asked": asdict(question), **asdict(answer)} for question, answer in said]


def said_from_json(data: Iterable[Mapping[str, Any]]) -> list[Said]:
    """Return what `said_to_json` wrote; KeyError, TypeError or ValueError if none."""
    return [(_question(each["asked"]), _answer(each)) for each in data]


def _question(data: Mapping[str, Any]) -> Question:
    if data["way"] not in WAYS:
        raise ValueError
    structure, click = data["structure"], data["click"]
    return Question(
        data["way"],
        None if structure is None else str(structure),
        str(data["model"]),
        None if click is None else index(click),
        whole(data["known"]),
        tuple(map(str, data.get("without", ()))),
    )


def _answer(data: Mapping[str, Any]) -> Answer:
    place = data["place"]
    cases = (
        RecalledCase(str(c["id"]), str(c["name"]), float(c["similarity"]), float(c["weight"]))
        for c in data["cases"]
    )
    return Answer(tuple(cases), None if place is None else index(place))
