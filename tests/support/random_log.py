"""Logs as users might make them at random, without a model: what makes no sense is left out."""

from hypothesis import strategies as st

from napari_fastsam3d.errors import FastSAM3DError
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.object_actions import (
    NewObject,
    RemoveObject,
    RenameObject,
    SetOverlap,
)
from napari_fastsam3d.session.prompt_actions import AddPrompt, DeletePrompt, FlipPrompt, ResetObject
from napari_fastsam3d.session.state import Action, SessionState

Move = tuple[str, int, int]

moves = st.lists(
    st.tuples(st.sampled_from("ddddurs"), st.integers(0, 7), st.integers(0, 3)), max_size=40
)
"""Do an action of a kind and on an object, undo, do again, or select an object."""


def some_action(state: SessionState, kind: int, which: int) -> Action:
    """An action that often makes sense in the state, of a kind and on an object as drawn."""
    number = state.objects[which % len(state.objects)].id if state.objects else which + 1
    prompt = state.next_prompt - 1 - which
    actions: list[Action] = [
        AddPrompt(number, Point(state.next_prompt, (which, 0, 0))),
        FlipPrompt(number, prompt),
        DeletePrompt(number, prompt),
        NewObject(state.next_object),
        RenameObject(number, f"name {which}"),
        RemoveObject(number),
        ResetObject(number),
        SetOverlap(("keep", "overwrite", "share")[which % 3]),
    ]
    return actions[kind]


def moments(moves: list[Move]) -> list[History]:
    """The log before the first move, and after each that made sense."""
    found = [History()]
    for move, kind, which in moves:
        history = found[-1]
        try:
            if move == "d":
                found.append(history.do(some_action(history.state, kind, which)))
            elif move == "u":
                found.append(history.undo())
            elif move == "r":
                found.append(history.redo())
            else:
                found.append(history.select(which + 1))
        except FastSAM3DError:
            continue
    return found


def walk(moves: list[Move]) -> History:
    """The log after all moves."""
    return moments(moves)[-1]
