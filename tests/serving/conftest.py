import pytest
from served import Department

from napari_fastsam3d.geometry import Volume


@pytest.fixture(scope="session")
def volume() -> Volume:
    from ball_and_slab import ball_and_slab

    return ball_and_slab()


@pytest.fixture
def department(tmp_path) -> Department:
    return Department(tmp_path / "server")
