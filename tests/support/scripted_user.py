"""A user who does the same each time; run as a program, one who may be killed at any moment.

usage: python scripted_user.py FOLDER

The program keeps its journal in FOLDER, writes its masks there now and then, and prints a line
after each command that was acknowledged.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from ball_and_slab import SHAPE, ball_and_slab
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import FastSAM3DError
from napari_fastsam3d.session import Mask, Session

COMMANDS = 80
SAVES_AT = range(5, COMMANDS, 10)
MASK = "mask.nii.gz"


def new_session(journal: Path | None) -> Session:
    model = BrightnessModel(size=16, spacings=(2.0, 4.0))
    return Session(ball_and_slab(), model=model, journal=journal or False)


def act(session: Session, user: random.Random) -> bool:
    """Do one thing; False where it makes no sense, and nothing was done."""
    index = tuple(user.randrange(n) for n in SHAPE)
    objects = [each.id for each in session.state.objects] or [1]
    prompts = [p.id for each in session.state.objects for p in each.prompts] or [1]
    stroke = Mask.of_indices([index, (index[0], index[1], 0)])
    choices = [
        *[lambda: session.add_point(index, positive=user.random() < 0.7)] * 5,
        lambda: session.edit_mask(added=stroke),
        lambda: session.edit_mask(removed=stroke),
        session.undo,
        session.redo,
        session.new_object,
        lambda: session.select_object(user.choice(objects)),
        lambda: session.delete_prompt(user.choice(prompts)),
        lambda: session.move_prompt(user.choice(prompts), index),
        lambda: session.lock_object(user.choice(objects)),
        lambda: session.unlock_object(user.choice(objects)),
    ]
    try:
        user.choice(choices)()
    except FastSAM3DError:
        return False
    return True


def moments(session: Session, seed: int = 0) -> Iterator[int]:
    """Do what the script says; yield the number of commands done, after each."""
    user, done = random.Random(seed), 0
    while done < COMMANDS:
        if act(session, user):
            done += 1
            yield done


def main(folder: Path) -> None:
    with new_session(folder) as session:
        print("ready", flush=True)
        for done in moments(session):
            print(done, flush=True)
            if done in SAVES_AT:
                session.save(folder / MASK)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
