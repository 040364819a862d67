"""From other threads to the main one, and an orderly end."""

import gc
import subprocess
import sys
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from napari.utils.notifications import notification_manager

from napari_fastsam3d._napari.main_thread import CleanupStack, Dispatcher, notify
from napari_fastsam3d.errors import VolumeError


@pytest.fixture
def bridge(qtbot: Any) -> Dispatcher:
    return Dispatcher()


def test_what_other_threads_send_arrives_in_the_main_thread(bridge: Dispatcher, qtbot: Any) -> None:
    arrived: list[tuple[str, bool]] = []
    main = threading.get_ident()
    send = bridge.to_main(lambda word: arrived.append((word, threading.get_ident() == main)))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(send, "mask").result()
        qtbot.waitUntil(lambda: bool(arrived))
    assert arrived == [("mask", True)]


def test_a_call_in_the_main_thread_is_not_put_off(bridge: Dispatcher) -> None:
    arrived: list[int] = []
    bridge.to_main(arrived.append)(1)
    assert arrived == [1]


def test_a_call_that_fails_keeps_no_other_back(bridge: Dispatcher, qtbot: Any) -> None:
    arrived: list[int] = []
    with qtbot.captureExceptions() as failures, ThreadPoolExecutor(1) as pool:
        pool.submit(bridge.to_main(lambda: 1 / 0)).result()
        pool.submit(bridge.to_main(arrived.append), 1).result()
        qtbot.waitUntil(lambda: arrived == [1])
    assert [kind for kind, *_ in failures] == [ZeroDivisionError]


CROWD = """
import threading, time
from qtpy.QtCore import QCoreApplication
from napari_fastsam3d._napari.main_thread import Dispatcher

application, bridge, arrived = QCoreApplication([]), Dispatcher(), []
send, done = bridge.to_main(arrived.append), bridge.to_main(application.quit)

def crowd():
    for number in range(50_000):
        send(number)
        if number % 50 == 0:
            time.sleep(0.001)
    done()

threading.Thread(target=crowd).start()
application.exec()
assert arrived == list(range(50_000))
print("in order")
"""


def test_tens_of_thousands_of_calls_arrive_in_order() -> None:
    ran = subprocess.run([sys.executable, "-c", CROWD], capture_output=True, text=True, timeout=120)
    assert ran.stdout.strip() == "in order", ran.stderr


def test_a_future_is_told_as_done_or_failed(bridge: Dispatcher, qtbot: Any) -> None:
    told: list[Any] = []
    good: Future[int] = Future()
    bad: Future[int] = Future()
    bridge.watch(good, told.append)
    bridge.watch(bad, told.append, lambda error: told.append(str(error)))
    good.set_result(3)
    bad.set_exception(ValueError("no"))
    qtbot.waitUntil(lambda: len(told) == 2)
    assert told == [3, "no"]


def test_a_cancelled_future_is_told_to_nobody(bridge: Dispatcher, qtbot: Any) -> None:
    told: list[Any] = []
    future: Future[int] = Future()
    bridge.watch(future, told.append, told.append)
    future.cancel()
    future.set_running_or_notify_cancel()
    qtbot.wait(20)
    assert told == []


def test_after_the_end_nothing_arrives(bridge: Dispatcher, qtbot: Any) -> None:
    told: list[Any] = []
    send = bridge.to_main(told.append)
    bridge.defer(lambda: told.append("soon"))
    bridge.close()
    send("late")
    qtbot.wait(20)
    assert told == []


def test_a_closed_bridge_keeps_nothing_for_a_job_that_goes_on(qtbot: Any) -> None:
    bridge, future, owner = Dispatcher(), Future(), _Owner()
    alive = weakref.ref(owner)
    bridge.watch(future, lambda _, owner=owner: None)
    bridge.close()
    del owner
    gc.collect()
    assert alive() is None
    future.set_result(None)


def test_our_errors_are_told_by_their_message(qtbot: Any) -> None:
    seen: list[Any] = []
    notification_manager.notification_ready.connect(seen.append)
    notify(VolumeError("It is flat.", "Choose a volume."))
    notification_manager.notification_ready.disconnect(seen.append)
    assert [note.message for note in seen] == ["It is flat. Choose a volume."]
    assert seen[0].severity == "error"


class _Owner:
    pass


def test_the_end_comes_once(qtbot: Any) -> None:
    calls: list[str] = []
    owner = _Owner()
    cleanup = CleanupStack(owner)
    cleanup.push(lambda: calls.append("a"))
    cleanup.push(lambda: calls.append("b"))
    cleanup.close()
    cleanup.close()
    del owner
    gc.collect()
    assert calls == ["b", "a"]


def test_the_end_comes_when_the_owner_is_forgotten(qtbot: Any) -> None:
    calls: list[str] = []
    owner = _Owner()
    cleanup = CleanupStack(owner)
    cleanup.push(lambda: calls.append("closed"))
    del owner
    gc.collect()
    assert calls == ["closed"]


QUITTING = """
from qtpy.QtCore import QCoreApplication, QTimer
from napari_fastsam3d._napari.main_thread import CleanupStack

class Owner: pass

application = QCoreApplication([])
owner = Owner()
CleanupStack(owner).push(lambda: print("closed", flush=True))
QTimer.singleShot(0, application.quit)
application.exec()
"""


def test_the_application_ends_everything() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", QUITTING], capture_output=True, text=True, timeout=120
    )
    assert ran.stdout.split() == ["closed"], ran.stderr
