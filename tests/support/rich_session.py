"""Sessions in which everything was done that can be, kept as files by earlier versions.

`python tests/support/rich_session.py NAME FOLDER` writes the files of one anew. That is for a new
one beside the old ones when the format grows: what was written once must be read for ever.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from ball_and_slab import BALL, SHAPE, SLAB, ball_and_slab
from brightness_model import BrightnessModel
from proposing_model import Proposing

from napari_fastsam3d.geometry import Box
from napari_fastsam3d.session import Mask, Session, organs

BESIDES = tuple((i, j, k) for i in (15, 17) for j in (21, 25) for k in (14, 18, 22))
UNDONE = 3  # steps that are taken back at the end, to be done again


def play(session: Session) -> None:
    """Use every kind of prompt and action, several objects, undo and redo."""
    session.add_point(BALL)
    session.add_point((20, 25, 27), positive=False)
    session.undo()
    session.redo()
    session.add_point((20, 29, 20))
    session.rename_object(1, "ball, left")
    session.recolour_object(1, (0.1, 0.2, 0.3))
    session.freeze_region((14, 17, 12), (20, 33, 28))
    session.edit_mask(added=block((2, 2, 2), (5, 4, 4)), removed=block((19, 24, 19), (22, 27, 22)))
    second, third = (prompt.id for prompt in session.state.object(1).prompts[1:3])
    session.move_prompt(third, (20, 28, 21))
    session.flip_prompt(second)
    session.flip_prompt(second)
    liver = next(organ for organ in organs() if organ.name == "liver")
    session.new_object(liver.name, liver.value)
    session.add_box((38, 4, 4), (52, 46, 36))
    box = session.state.object(2).prompts[0].id
    session.move_prompt(box, Box((39, 3, 4), (51, 45, 36)))
    session.add_box((12, 17, 20), (29, 34, 21), guessed_axis=2)
    session.add_point(SLAB)
    session.delete_prompt(session.state.object(2).prompts[1].id)
    session.add_mask(block((10, 10, 10), (30, 30, 25)), "from a file", 300)
    session.add_point((21, 25, 24))
    session.add_point((28, 11, 11), positive=False)
    holder = next(at for at in BESIDES if session.mask(1)[at])
    session.take_over(holder, 3)
    session.lock_object(3)
    session.set_overlap("share")
    session.set_overlap("overwrite")
    session.select_object(1)
    session.add_point((17, 24, 18))
    session.accept_object(1)
    session.new_object()
    session.add_point(SLAB)
    session.reset_object()
    session.add_point((44, 10, 30))
    session.unlock_object(3)
    session.revalue_object(3, 7)
    session.new_object("by mistake")
    session.add_point((5, 5, 5))
    session.remove_object()
    session.delete_prompt(session.state.object(3).prompts[-1].id)
    session.rename_object(2, "Leber äöü")
    session.add_point((45, 40, 9), positive=False)
    session.keep_view({"zoom": 2.5})
    for _ in range(UNDONE):
        session.undo()


def play_choices(session: Session) -> None:
    """Choose among candidates, and correct, move, undo and do again what was chosen."""
    session.add_point(BALL)
    session.choose(0)
    session.choose(9)
    session.undo()
    session.redo()
    session.add_point((20, 31, 20))
    session.choose(1)
    session.move_prompt(session.state.object(1).prompts[0].id, (21, 25, 20))
    session.new_object("slab")
    session.add_point(SLAB)
    session.choose(2)
    session.delete_prompt(session.state.object(2).prompts[-1].id)
    session.choose(0)
    session.add_point((44, 40, 9), positive=False)
    session.choose(1, 1)
    session.choose(0, 1)
    for _ in range(UNDONE):
        session.undo()


def block(start, stop) -> Mask:
    box = Box(start, stop)
    return Mask.of(box, np.ones(box.shape, dtype=bool))


def fingerprints(session: Session) -> dict[str, str]:
    """What tells the masks of all objects, as they are shown and in one map, from others."""
    session.wait()
    shown = {each.name: session.mask(each.id) for each in session.state.objects}
    return {name: of_array(mask) for name, mask in shown.items()} | {
        "label map": of_array(session.label_map())
    }


def of_array(array: np.ndarray) -> str:
    assert array.shape == SHAPE
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


SESSIONS = {"rich_session": (play, BrightnessModel), "choice_session": (play_choices, Proposing)}


def write(name: str, folder: Path) -> None:
    play_it, model = SESSIONS[name]
    folder.mkdir(parents=True)
    with Session(ball_and_slab(), model=model(), journal=folder) as session:
        play_it(session)
        session.save_prompts(folder / "prompts.json")
        now = fingerprints(session)
        while session.can_redo:
            session.redo()
        steps = [fingerprints(session)]
        while session.can_undo:
            session.undo()
            steps.append(fingerprints(session))
        for _ in range(len(steps) - 1 - UNDONE):
            session.redo()
        assert fingerprints(session) == now
    text = json.dumps({"now": now, "undone": steps}, indent=1, sort_keys=True)
    (folder / "masks.json").write_text(text + "\n", encoding="utf-8")
    (journal,) = folder.glob("*.journal")
    journal.rename(folder / "session.journal")


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
