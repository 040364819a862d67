import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import list_frames, read_volume

SUFFIXES = [".nrrd", ".nhdr", ".mha", ".mhd"]


def voxels(shape=(4, 5, 6), dtype=np.int16) -> np.ndarray:
    """Noise, in ITK's order: k, j, i."""
    return np.random.default_rng(3).integers(-90, 90, shape).astype(dtype)


def image(array=None):
    made = SimpleITK.GetImageFromArray(voxels() if array is None else array, isVector=False)
    if made.GetDimension() == 3:
        turn = Rotation.from_euler("xyz", [10, 95, 20], degrees=True).as_matrix()
        made.SetDirection(turn.ravel().tolist())
        made.SetSpacing((0.5, 0.75, 3.0))
        made.SetOrigin((-7, 8, 9))
    return made


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("packed", [False, True])
def test_voxels_and_places_are_those_of_itk(tmp_path, suffix, packed):
    path = tmp_path / f"scan{suffix}"
    SimpleITK.WriteImage(image(), str(path), useCompression=packed)
    volume = read_volume(path)
    assert volume.voxels.dtype == np.int16
    assert np.array_equal(volume.voxels, voxels().transpose())
    for index in ((0, 0, 0), (5, 4, 3), (2, 0, 1)):
        lps = image().TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(volume.to_world(index), np.multiply(lps, [-1, -1, 1]), atol=1e-6)
    assert volume.source.format == ("nrrd" if suffix in (".nrrd", ".nhdr") else "metaimage")
    assert volume.name == "scan"


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "f4", "f8"])
def test_types(tmp_path, dtype):
    SimpleITK.WriteImage(image(voxels(dtype=dtype)), str(tmp_path / "a.mha"))
    volume = read_volume(tmp_path / "a.mha")
    assert volume.voxels.dtype == (np.float32 if dtype == "f8" else dtype)
    assert np.array_equal(volume.voxels, voxels(dtype=dtype).transpose())


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_frames(tmp_path, suffix):
    path = tmp_path / f"film{suffix}"
    array = voxels((3, 4, 5, 6))
    SimpleITK.WriteImage(image(array), str(path))
    assert list(list_frames(path)) == [0, 1, 2]
    with pytest.raises(VolumeError, match="3 volumes"):
        read_volume(path)
    for frame in range(3):
        assert np.array_equal(read_volume(path, frame=frame).voxels, array[frame].transpose())


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_colour_and_flat_images_are_refused(tmp_path, suffix):
    colour = SimpleITK.GetImageFromArray(voxels((4, 5, 6, 3), np.uint8), isVector=True)
    SimpleITK.WriteImage(colour, str(tmp_path / f"colour{suffix}"))
    with pytest.raises(VolumeError, match="colour"):
        read_volume(tmp_path / f"colour{suffix}")
    SimpleITK.WriteImage(image(voxels((5, 6))), str(tmp_path / f"flat{suffix}"))
    with pytest.raises(VolumeError, match="2 dimensions"):
        read_volume(tmp_path / f"flat{suffix}")


def cut(content: bytes) -> bytes:
    return content[:-1]


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    return content[:-40] + bytes([content[-40] ^ 0xFF]) + content[-39:]


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize(
    ("packed", "spoil"),
    # Raw voxels have no checksum: flipped ones are as good as others.
    [(False, cut), (False, halved), (True, cut), (True, halved), (True, flipped)],
)
def test_damage_is_told(tmp_path, capfd, suffix, packed, spoil):
    path = tmp_path / f"a{suffix}"
    SimpleITK.WriteImage(image(voxels((20, 20, 20))), str(path), useCompression=packed)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(VolumeError) as caught:
        read_volume(path)
    assert "again" in caught.value.remedy
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_damage_in_a_data_file_of_its_own_is_told(tmp_path, suffix):
    SimpleITK.WriteImage(image(), str(tmp_path / f"a{suffix}"), useCompression=True)
    (data,) = (p for p in tmp_path.iterdir() if p.suffix != suffix)
    data.write_bytes(flipped(data.read_bytes()))
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(tmp_path / f"a{suffix}")


def test_a_lost_data_file(tmp_path):
    SimpleITK.WriteImage(image(), str(tmp_path / "a.mhd"))
    (tmp_path / "a.raw").unlink()
    with pytest.raises(VolumeError, match=r"a\.raw"):
        read_volume(tmp_path / "a.mhd")


def test_a_data_file_in_another_folder(tmp_path):
    (tmp_path / "data").mkdir()
    SimpleITK.WriteImage(image(), str(tmp_path / "a.mhd"))
    (tmp_path / "a.raw").rename(tmp_path / "data" / "a.raw")
    header = (tmp_path / "a.mhd").read_text().replace("a.raw", "data/a.raw")
    (tmp_path / "a.mhd").write_text(header)
    assert np.array_equal(read_volume(tmp_path / "a.mhd").voxels, voxels().transpose())


def test_voxels_outlive_the_image_that_was_read(tmp_path):
    SimpleITK.WriteImage(image(voxels((60, 60, 60))), str(tmp_path / "a.mha"))
    kept = read_volume(tmp_path / "a.mha").voxels[1:, 2:].transpose()
    for _ in range(20):
        read_volume(tmp_path / "a.mha")
    assert np.array_equal(kept, voxels((60, 60, 60))[:, 2:, 1:])


def test_text_in_place_of_a_file(tmp_path):
    for suffix in SUFFIXES:
        path = tmp_path / f"a{suffix}"
        path.write_text("<html>404 not found</html>\n" * 50)
        with pytest.raises(VolumeError):
            read_volume(path)


NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\n{space}sizes: 2 3 4\n{axes}encoding: raw\n"
    "endian: {endian}\n\n"
)


@pytest.mark.parametrize(("endian", "order"), [("little", "<"), ("big", ">")])
@pytest.mark.parametrize(
    ("space", "signs"), [("right-anterior-superior", (1, 1)), ("LPS", (-1, -1))]
)
def test_spaces_of_nrrd(tmp_path, space, signs, endian, order):
    axes = "space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (5,6,7)\n"
    header = NRRD.format(space=f"space: {space}\n", axes=axes, endian=endian)
    values = np.arange(24, dtype=f"{order}i2")
    (tmp_path / "a.nrrd").write_bytes(header.encode() + values.tobytes())
    volume = read_volume(tmp_path / "a.nrrd")
    assert np.array_equal(volume.voxels, np.arange(24).reshape(4, 3, 2).transpose())
    world = np.multiply((5 + 1, 6 + 2 * 2, 7 + 3 * 3), (*signs, 1))
    np.testing.assert_allclose(volume.to_world((1, 2, 3)), world)
    assert volume.notes == ()


def test_nrrd_without_a_space_is_told(tmp_path):
    header = NRRD.format(space="", axes="spacings: 1 2 3\n", endian="little")
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(48))
    volume = read_volume(tmp_path / "a.nrrd")
    assert volume.spacing == (1, 2, 3)
    assert any("space" in note for note in volume.notes)
