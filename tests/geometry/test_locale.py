"""A process whose locale writes a decimal comma reads and writes the same files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

SIZES, ORIGIN = (0.75, 1.25, 3.5), (12.25, -7.75, 100.5)
SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd", ".nii.gz")
SCRIPT = """
import locale, sys
import numpy as np
spoken = locale.setlocale(locale.LC_ALL, "")
assert locale.localeconv()["decimal_point"] == sys.argv[1], spoken
import napari_fastsam3d as fs
from napari_fastsam3d.geometry import read_labels
for suffix in sys.argv[2:]:
    volume = fs.read_volume("scan" + suffix)
    print(*volume.affine[:3].ravel().tolist(), *volume.voxels[:, 0, 0], len(volume.notes))
for suffix in (".nrrd", ".mha", ".nii", ".nii.gz"):
    path = fs.save_mask("mask" + suffix, volume.voxels > 4, volume, label_names={1: "a, b"})
    assert read_labels(path, volume).names == {1: "a, b"}
assert "SimpleITK" not in sys.modules  # on some headers it ends the process
"""


@pytest.fixture(scope="module")
def locales(tmp_path_factory) -> Path:
    """A folder with real locales, as a clinic's workstation has them."""
    if shutil.which("localedef") is None:
        pytest.skip("there is no localedef to make a locale with")
    folder = tmp_path_factory.mktemp("locales")
    for name in ("de_DE", "fr_FR"):
        command = ["localedef", "-i", name, "-f", "UTF-8", str(folder / f"{name}.UTF-8")]
        done = subprocess.run(command, capture_output=True, text=True)
        if not (folder / f"{name}.UTF-8").is_dir():
            pytest.skip(f"localedef has no sources of locales: {done.stderr.strip()}")
    return folder


@pytest.mark.parametrize(
    ("name", "point"), [("C", "."), ("de_DE.UTF-8", ","), ("fr_FR.UTF-8", ",")]
)
def test_the_locale_of_the_process_changes_nothing(tmp_path, locales, name, point):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(SIZES)
    image.SetOrigin((-ORIGIN[0], -ORIGIN[1], ORIGIN[2]))
    for suffix in SUFFIXES:
        SimpleITK.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    environment = {**os.environ, "LOCPATH": str(locales), "LC_ALL": name}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, point, *SUFFIXES],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    affine = np.diag([-SIZES[0], -SIZES[1], SIZES[2], 1])[:3]
    affine[:, 3] = ORIGIN
    for line in done.stdout.splitlines():
        *places, notes = map(float, line.split())
        np.testing.assert_allclose(places[:12], affine.ravel(), atol=1e-5)
        assert places[12:] == [0, 1, 2, 3]
        assert notes == 0
    assert len(done.stdout.splitlines()) == len(SUFFIXES)
    for suffix in (".nrrd", ".mha", ".nii", ".nii.gz"):
        mask = SimpleITK.ReadImage(str(tmp_path / f"mask{suffix}"))
        np.testing.assert_allclose(mask.GetSpacing(), SIZES, rtol=1e-6)
        np.testing.assert_allclose(mask.GetOrigin(), image.GetOrigin(), rtol=1e-6)
        assert np.array_equal(SimpleITK.GetArrayFromImage(mask), array > 4)
