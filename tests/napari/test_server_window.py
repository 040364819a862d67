"""A real window whose masks a server makes: chosen in its dialog, lost, and found again."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import Session

uvicorn = pytest.importorskip("uvicorn", reason="a server needs the extra `serve`")

BLOCK = (6, 6, 5)


def block() -> Volume:
    voxels = np.zeros((20, 24, 16), np.int16)
    voxels[4:9, 4:9, 4:8] = 300
    return Volume.from_array(voxels, np.diag([-2.0, -2.0, 2.0, 1.0]))


class Place:
    """Where a server runs, and stops, on this machine."""

    def __init__(self, folder: Path, flood: Any) -> None:
        from napari_fastsam3d.serving.server_settings import ServerSettings
        from napari_fastsam3d.serving.tokens import TokenFile

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.settings, self.flood = ServerSettings(folder, ("flood",)), flood
        self.token = TokenFile(folder / "tokens.json").add("anna")[1]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        from napari_fastsam3d.serving.app import make_app
        from napari_fastsam3d.serving.model_host import ModelHost
        from napari_fastsam3d.serving.server import Server
        from napari_fastsam3d.session import ModelThread

        host = ModelHost("flood", self.settings, ModelThread(self.flood))

        async def host_of(_name: str) -> ModelHost:
            return host

        config = uvicorn.Config(
            make_app(Server(self.settings, host_of)), port=self.port, log_level="warning"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.mark.gl
def test_a_window_on_a_server(
    open_window: Callable[..., Any], flood: Any, settle: Any, qtbot: Any, tmp_path: Path
) -> None:
    place = Place(tmp_path / "server", flood)
    viewer, widget, hand = open_window(block())
    panel, status = widget.model, widget.status
    with place.running():
        panel.server_button.click()
        dialog = panel.server_dialog
        dialog.address.setText(place.address)
        dialog.token.setText("wrong")
        dialog.use_button.click()
        qtbot.waitUntil(lambda: "token" in dialog.message.text(), timeout=20_000)
        dialog.token.setText(place.token)
        dialog.use_button.click()
        qtbot.waitUntil(lambda: not dialog.isVisible(), timeout=20_000)
        settle(widget)
        index = widget.view.frame.to_layer(BLOCK)[0]
        viewer.dims.set_current_step(0, int(index[0]))
        viewer.reset_view()
        qtbot.wait(100)
        hand.click(widget.view.mask.layer.data_to_world(index))
        settle(widget)
        (prompt,) = widget.view.current.prompts
        assert prompt.index == BLOCK
        with Session(block(), flood) as here:
            here.add_point(BLOCK)
            assert here.mask()[BLOCK]
            assert np.array_equal(widget.view.session.mask(), here.mask())
        assert f"flood on 127.0.0.1:{place.port}" in status.facts.text()
        assert "network" in status.facts.text()
    widget.view.points.layer.add(index + np.array([0, 0, 1]))
    qtbot.waitUntil(lambda: "Waiting for 127.0.0.1" in status.now.text(), timeout=20_000)
    prompts = widget.view.current.prompts
    assert len(prompts) == 2
    with place.running():
        settle(widget)
    with Session(block(), flood) as here:
        for prompt in prompts:
            here.add_point(prompt.index)
        assert np.array_equal(widget.view.session.mask(), here.mask())
