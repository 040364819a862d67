import os
import subprocess
import sys
import threading

import pytest
from ball_and_slab import BALL
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import CheckpointError, SessionError
from napari_fastsam3d.session import ModelThread, Session


def test_all_jobs_run_in_one_thread_in_their_order():
    seen = []
    with ModelThread(BrightnessModel()) as thread:
        jobs = [thread.submit(seen.append, n) for n in range(20)]
        idents = {thread.submit(threading.get_ident).result() for _ in range(5)}
        [job.result() for job in jobs]
    assert seen == list(range(20))
    assert len(idents) == 1
    assert idents != {threading.get_ident()}


def test_it_knows_when_it_is_asked_from_within():
    with ModelThread(BrightnessModel()) as thread:
        assert thread.submit(lambda: thread.is_current).result()
        assert not thread.is_current


def test_a_model_given_is_there_at_once():
    model = BrightnessModel()
    with ModelThread(model) as thread:
        assert thread.predictor is model
        assert thread.load().result() is model


def test_a_model_that_cannot_be_loaded_says_why_each_time(tmp_path):
    with ModelThread(tmp_path / "absent.safetensors", device="cpu") as thread:
        for _ in range(2):
            with pytest.raises(CheckpointError):
                thread.load().result()
        assert thread.predictor is None


def test_loading_tells_its_progress_to_the_end_even_when_it_fails():
    told = []
    with ModelThread("no such model", device="cpu") as thread:
        job = thread.submit(thread.obtain, lambda *news: told.append(news))
        with pytest.raises(CheckpointError):
            job.result()
    assert [(done, of) for _, done, of in told] == [(0, 1), (1, 1)]


def test_closed_it_takes_no_more_jobs():
    thread = ModelThread(BrightnessModel())
    thread.close()
    thread.close()
    assert thread.closed
    with pytest.raises(SessionError, match="closed"):
        thread.load()


def test_sessions_can_share_one_and_leave_it_open(volume):
    model = BrightnessModel()
    with ModelThread(model) as thread:
        for _ in range(2):
            with Session(volume, model=thread) as session:
                assert session.add_point(BALL).box.size > 0
                assert session.predictor is model
            assert not thread.closed


def test_a_session_ends_the_thread_that_is_its_own(volume):
    session = Session(volume, model=BrightnessModel())
    session.close()
    assert session.thread.closed


# No model is to be loaded, so that seconds are spared.
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None\n"


def test_a_program_that_closes_late_ends_without_a_word():
    """As a script with a window does, whose closers run after the threads have ended."""
    code = (
        "import weakref\n"
        "from napari_fastsam3d.session import ModelThread\n"
        f"{WITHOUT_TORCH}"
        "class Owner: pass\n"
        "owner, thread = Owner(), ModelThread('no such model')\n"
        "weakref.finalize(owner, thread.close)\n"
        "thread.load().exception()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_session_loads_neither_torch_nor_a_window_system():
    code = (
        "import sys, napari_fastsam3d.session\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'torch', 'napari', 'qtpy', 'PySide6', 'PyQt6', 'vispy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_torch_s_threads_soon_sleep_while_they_wait_unless_the_user_says_otherwise():
    code = (
        "import os\n"
        "from napari_fastsam3d.session import ModelThread\n"
        f"{WITHOUT_TORCH}"
        "with ModelThread('no such model') as thread:\n"
        "    thread.load().exception()\n"
        "print(*(os.environ.get(name) for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')))"
    )
    ours = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
    for given, used in (
        ({}, "PASSIVE 3000"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
        ({"GOMP_SPINCOUNT": "7"}, "PASSIVE 7"),
    ):
        environment = {k: v for k, v in os.environ.items() if k not in ours} | given
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == used, done.stderr
