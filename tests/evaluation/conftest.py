from pathlib import Path

import pytest
from labelled_folder import make_folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return make_folder(folder)
