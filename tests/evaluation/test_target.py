import nibabel as nib
import numpy as np
import pytest
from labelled_folder import SHAPE

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.evaluation import Protocol, targets_of
from napari_fastsam3d.evaluation.dataset import labelled_cases
from napari_fastsam3d.evaluation.target import structures_of
from napari_fastsam3d.geometry import Volume, save_mask

NAMES = {1: "large", 2: "small"}


@pytest.fixture
def case(data):
    return next(c for c in labelled_cases(data, "validation") if c.set_name == "pairs")


def test_structures_come_largest_first():
    labels = np.zeros(SHAPE, np.int32)
    labels[:4], labels[5:7], labels[8, 0, 0] = 7, 3, 9
    assert [value for value, _ in structures_of(labels, 2, 5)] == [7, 3]
    assert [value for value, _ in structures_of(labels, 2, 1)] == [7]


def test_wanted_structures_are_found_by_name_or_value(case):
    def found(wanted, most=6):
        protocol = Protocol(most=most)
        return [t.structure for t in targets_of(case, protocol, NAMES, frozenset(wanted))]

    assert found([]) == ["large", "small"]
    assert found([], most=1) == ["large"]
    assert found(["2"], most=1) == found(["small"], most=1) == ["small"]


@pytest.mark.parametrize("protocol", [Protocol(zoom=2), Protocol(slice_thickness=3)])
def test_another_grid_shows_the_same_structures(case, protocol):
    """Those with 200 voxels in the file, though they may have fewer on the other grid."""
    own = list(targets_of(case, Protocol(), NAMES))
    other = list(targets_of(case, protocol, NAMES))
    assert [t.key for t in own] == [t.key for t in other]
    assert other[1].truth.voxels.sum() < 200
    assert all(target.volume.spacing[2] == 3 for target in other)
    for before, after in zip(own, other, strict=True):
        size = [t.truth.voxels.sum() * np.prod(t.volume.spacing) for t in (before, after)]
        assert size[1] == pytest.approx(size[0], rel=0.2)


def test_labels_on_another_grid_are_refused(case):
    save_mask(case.labels, np.ones((4, 4, 4), bool), Volume.from_array(np.zeros((4, 4, 4))))
    with pytest.raises(VolumeError, match="shape"):
        list(targets_of(case, Protocol(), NAMES))


@pytest.mark.parametrize("codes", ["LPS", "RAI", "SAL", "PIR"])
def test_labels_stored_in_another_order_are_brought_to_the_scan(case, codes):
    wanted = list(targets_of(case, Protocol(), NAMES))
    labels = nib.load(case.labels)
    way = nib.orientations.ornt_transform(
        nib.io_orientation(labels.affine), nib.orientations.axcodes2ornt(codes)
    )
    labels.as_reoriented(way).to_filename(case.labels)
    found = list(targets_of(case, Protocol(), NAMES))
    assert [t.key for t in found] == [t.key for t in wanted]
    assert all(f.truth.equals(w.truth) for f, w in zip(found, wanted, strict=True))


def test_labels_that_lie_mirrored_are_refused(case):
    """The same array with an affine that says left where the scan says right."""
    labels = nib.load(case.labels)
    mirrored = nib.Nifti1Image(np.asarray(labels.dataobj), np.diag([-1, 1, 1, 1]) @ labels.affine)
    mirrored.to_filename(case.labels)
    with pytest.raises(VolumeError, match="lies elsewhere"):
        list(targets_of(case, Protocol(), NAMES))


@pytest.mark.parametrize("protocol", [Protocol(zoom=2), Protocol(slice_thickness=3)])
def test_another_grid_shows_no_padding(case, protocol):
    scan = nib.load(case.image)
    padded, air = (np.asarray(scan.dataobj).astype(np.int16) - 1000 for _ in range(2))
    air.clip(-1000, None, out=air)
    padded[:] = air
    air[:, :4], padded[:, :4] = -1000, -8192
    volumes = [Volume.from_array(each, scan.affine) for each in (air, padded)]
    assert volumes[1].intensity_floor == -1000
    one, other = (protocol.resampling(v).volume(v).voxels for v in volumes)
    assert np.array_equal(one, other)
