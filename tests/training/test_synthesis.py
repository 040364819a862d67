"""Anatomy painted as CT and as MR."""

import numpy as np
import pytest
import torch

from napari_fastsam3d.training import synthesis
from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.synthesis import paint_anatomy, reshaped
from napari_fastsam3d.training.tissues import ARM, SCENERY, TISSUES, tissue_of

NAMES = {
    1: "body",
    2: "liver",
    3: "femur_left",
    4: "lung_upper_lobe_left",
    5: "aorta",
    6: "colon",
    7: "humerus_left",
}


def torso():
    """Give labels (48, 48, 48): organs in a body in air, and an arm beside it."""
    labels = torch.zeros(48, 48, 48, dtype=torch.int16)
    labels[4:34, 10:40, :] = 1
    labels[6:18, 12:24, 10:30] = 2
    labels[20:32, 12:24, 10:30] = 3
    labels[6:18, 27:38, 10:30] = 4
    labels[20:24, 27:31, 5:40] = 5
    labels[25:33, 30:39, 10:40] = 6
    labels[38:46, 18:32, :] = 1
    labels[40:44, 22:28, :] = 7
    return labels


@pytest.mark.parametrize(
    ("name", "tissue"),
    [
        ("lung_lower_lobe_right", "lung"),
        ("vertebra_L1", "bone"),
        ("rib_3_left", "bone"),
        ("hip_right", "bone"),
        ("femoral_popliteal_artery_left", "artery"),
        ("right kidney", "kidney"),
        ("urinary_bladder", "cyst"),
        ("gallbladder", "cyst"),
        ("portal_splenic_mesenteric_veins", "vein"),
        ("pulmonary_artery", "lung_vessel"),
        ("heart_atrium_left", "artery"),
        ("heart_myocardium", "myocardium"),
        ("cerebral_white_matter", "white_matter"),
        ("small_bowel", "bowel"),
        ("intervertebral_discs", "cartilage"),
        ("thyroid_cartilage_larynx", "cartilage"),
        ("rectus_femoris_left", "muscle"),
        ("body", "fat"),
        ("spleen", "spleen"),
        ("main_bronchi", "airway"),
    ],
)
def test_tissues_are_told_by_name(name, tissue):
    assert tissue_of(name) == tissue


def test_every_whole_body_label_has_a_tissue_and_muscles_alone_are_by_default(shared):
    import json

    for name in ("bodyparts3d", "bodyparts3d_v4", "hra_visible_human"):
        table = json.loads((shared / "data/label_maps" / name / "labels.json").read_text())
        names = [text for value, text in table.items() if value != "0"]
        assert {tissue_of(text) for text in names} <= set(TISSUES)
        organs = ("liver", "bone", "artery", "vein", "kidney", "bowel", "fat", "muscle")
        assert all(any(tissue_of(text) == tissue for text in names) for tissue in organs)
        assert any(SCENERY.search(text) for text in names)
    assert not ARM.search("femur_left")


def inner(labels, value):
    """Mark the voxels of a label that touch no other."""
    mask = (labels == value).float()[None]
    return -torch.nn.functional.max_pool3d(-mask, 5, 1, 2)[0] > 0


def test_ct_has_the_hounsfield_units_of_its_tissues(monkeypatch):
    monkeypatch.setattr(synthesis, "CT_SHARE", 1.0)
    labels = torso()
    for seed in range(8):
        image = paint_anatomy(labels, NAMES, 1.5, RandomGenerator.seeded(seed))
        assert image.isfinite().all()
        mean = {v: float(image[inner(labels, v)].mean()) for v in (2, 3, 4)}
        assert -950 < mean[4] < -600
        assert 0 < mean[2] < 170
        assert mean[3] > mean[2]
        air = image[:, 44:, :].mean()
        assert -1060 < air < -930


def test_bone_has_a_cortex_and_bowel_has_contents(monkeypatch):
    monkeypatch.setattr(synthesis, "CT_SHARE", 1.0)
    labels = torso()
    harder, filled = 0, set()
    for seed in range(12):
        image = paint_anatomy(labels, NAMES, 1.5, RandomGenerator.seeded(seed))
        core = inner(labels, 3)
        rim = (labels == 3) & ~core
        harder += bool(image[rim].mean() > image[core].mean())
        lumen = image[inner(labels, 6)]
        filled |= {"gas" if value < -500 else "other" for value in lumen.tolist()}
    assert harder > 8
    assert filled == {"gas", "other"}


def test_mr_shows_no_air_and_differs_from_draw_to_draw(monkeypatch):
    monkeypatch.setattr(synthesis, "CT_SHARE", 0.0)
    labels = torso()
    brighter = 0
    for seed in range(20):
        image = paint_anatomy(labels, NAMES, 1.5, RandomGenerator.seeded(seed))
        assert image[:, 44:, :].mean() < 0.2
        liver, aorta = (float(image[labels == v].mean()) for v in (2, 5))
        brighter += liver > aorta
    assert 2 < brighter < 18


def test_arms_are_raised_whole_or_left():
    labels = torso()
    gone = 0
    for seed in range(12):
        out = reshaped(labels, NAMES, 1.5, RandomGenerator.seeded(seed))
        left = bool((out == 7).any())
        gone += not left
        assert torch.equal(out == 2, labels == 2)
        if not left:
            fattened = (out[38:] == 1).float().mean() > 0.5
            assert fattened or not (out[39:46, 19:31] == 1).all()
    assert 2 < gone < 11


def test_a_body_gets_fatter_and_never_thinner():
    labels = torso()
    grew = 0
    for seed in range(12):
        out = reshaped(labels, {1: "body"}, 1.5, RandomGenerator.seeded(seed))
        assert torch.equal(out[labels > 0], labels[labels > 0])
        grew += bool((out > 0).sum() > (labels > 0).sum())
    assert 3 < grew < 12
    assert reshaped(labels, {2: "liver"}, 1.5, RandomGenerator.seeded(0)).equal(labels)


def test_the_same_chance_paints_the_same_image():
    labels = torso()
    one, two = (paint_anatomy(labels, NAMES, 1.5, RandomGenerator.seeded(5)) for _ in range(2))
    assert torch.equal(one, two)
    assert np.isfinite(one.numpy()).all()
