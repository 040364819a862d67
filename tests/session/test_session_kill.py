"""Killed at any moment, a session is found again, but for the command that was under way."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import scripted_user

# 6 by default; SESSION_KILLS=300 for once.
KILLS = int(os.environ.get("SESSION_KILLS", "6"))
LONGEST_S = 4.0


@pytest.fixture(scope="module")
def told():
    """State, redo and labels after each command of the script, done without a journal."""
    with scripted_user.new_session(None) as session:
        moments = [(session.state, False, session.label_map())]
        for _ in scripted_user.moments(session):
            moments.append((session.state, session.can_redo, session.label_map()))
    return moments


def acknowledged(folder: Path, delay: float) -> int:
    """Let the scripted user work for a while, kill it; return how many commands it got through."""
    script = [sys.executable, scripted_user.__file__, os.fspath(folder)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == "ready\n"
        time.sleep(delay)
        user.kill()
        lines = user.stdout.read().split("\n")
    return len(lines) - 1


@pytest.mark.parametrize("kill", range(KILLS))
def test_nothing_that_was_acknowledged_is_lost(kill, told, tmp_path):
    done = acknowledged(tmp_path, random.uniform(0, 1) ** 2 * LONGEST_S)

    with scripted_user.new_session(tmp_path) as session:
        session.wait()
        found = [
            place
            for place in (done, done + 1)
            if place < len(told)
            and session.state.objects == told[place][0].objects
            and session.state.current == told[place][0].current
            and session.can_redo == told[place][1]
        ]
        assert found, f"the journal is neither at command {done} nor at the next"
        assert np.array_equal(session.label_map(), told[found[0]][2])
    assert not list(tmp_path.glob("*damaged*"))
    mask = tmp_path / scripted_user.MASK
    saves = [at for at in scripted_user.SAVES_AT if at <= done]
    assert mask.exists() or len(saves) < 2
    if mask.exists():
        voxels = np.asarray(nibabel.Nifti1Image.from_filename(mask).dataobj)
        assert any(np.array_equal(voxels, told[at][2]) for at in (saves[-2:]))
