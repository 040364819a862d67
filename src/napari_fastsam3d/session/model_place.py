"""Where a model computes: in a thread of this machine, or on a server."""

from napari_fastsam3d.session.model_thread import Model, ModelThread


def model_thread(model: Model, device: str = "auto", patience: float | None = None) -> ModelThread:
    """Return the thread of a model that computes here, or on a server whose address is given.

    Parameters
    ----------
    model, device
        As for `ModelThread`; or the address of a server, such as "https://gpu.example.org:8765".
    patience : float, optional
        Seconds that a server which can't be reached is waited for before a step is taken back.
    """
    from napari_fastsam3d.session.remote.servers import is_server

    if not is_server(model):
        return ModelThread(model, device)
    from napari_fastsam3d.session.remote.remote_thread import PATIENCE, RemoteThread

    return RemoteThread(str(model), PATIENCE if patience is None else patience)
