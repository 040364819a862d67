import numpy as np
import pytest

from napari_fastsam3d.inference.connected_components import ProtectedSeeds, without_small_components

NOWHERE = np.zeros((0, 3))


def field(*blocks) -> np.ndarray:
    """Logits -1 with blocks of +1, each given by its start and its side."""
    logits = np.full((24, 24, 24), -1, dtype=np.float32)
    for start, side in blocks:
        logits[tuple(slice(a, a + side) for a in start)] = 1
    return logits


BODY = ((1, 1, 1), 8)  # 512 cells
SPECK = ((15, 15, 15), 2)  # 8 cells
TWIN = ((14, 1, 1), 7)  # 343 cells


def kept(logits: np.ndarray, **seeds) -> list[bool]:
    """Which of body, speck and twin are left."""
    given = {"points": NOWHERE, **seeds}
    left = without_small_components(logits, ProtectedSeeds(**given)) > 0
    return [bool(left[start]) for start, _ in (BODY, SPECK, TWIN)]


def test_a_speck_goes_and_a_twin_stays():
    assert kept(field(BODY, SPECK, TWIN), points=np.array([[3.0, 3, 3]])) == [True, False, True]


def test_without_a_click_the_largest_piece_is_the_measure():
    assert kept(field(BODY, SPECK, TWIN)) == [True, False, True]


def test_a_clicked_speck_stays_and_what_is_larger_with_it():
    assert kept(field(BODY, SPECK), points=np.array([[15.4, 15.6, 15.0]])) == [True, True, False]


def test_a_click_beside_a_piece_holds_it():
    points = np.array([[3.0, 3, 3], [17.2, 16, 16]])
    assert kept(field(BODY, SPECK), points=points) == [True, True, False]


def test_what_reaches_into_a_box_stays():
    box = np.array([[16.0, 16, 16], [20, 20, 20]])
    assert kept(field(BODY, SPECK), boxes=(box,))[1]
    elsewhere = np.array([[0.0, 0, 0], [10, 10, 10]])
    assert kept(field(BODY, SPECK), boxes=(elsewhere,)) == [True, False, False]


def test_a_piece_at_a_face_stays_where_the_object_goes_on():
    logits = field(BODY, ((22, 22, 22), 2))
    points = np.array([[3.0, 3, 3]])
    assert without_small_components(logits, ProtectedSeeds(points, faces=True))[23, 23, 23] > 0
    assert without_small_components(logits, ProtectedSeeds(points))[23, 23, 23] < 0


def test_pieces_that_touch_at_a_corner_are_one():
    logits = field(BODY, ((9, 9, 9), 1))
    assert without_small_components(logits, ProtectedSeeds(np.array([[3.0, 3, 3]])))[9, 9, 9] > 0


def test_dropping_changes_signs_and_nothing_else_and_leaves_the_input_alone():
    logits = field(BODY, SPECK)
    before = logits.copy()
    left = without_small_components(logits, ProtectedSeeds(np.array([[3.0, 3, 3]])))
    assert np.array_equal(logits, before)
    assert np.array_equal(np.abs(left), np.abs(logits))
    assert left.dtype == np.float32
    assert (left != logits).sum() == 8


@pytest.mark.parametrize("logits", [field(), field(BODY)])
def test_where_nothing_is_to_be_dropped_the_logits_come_back(logits):
    assert without_small_components(logits, ProtectedSeeds(NOWHERE)) is logits


def test_clicks_and_boxes_outside_the_grid_hold_nothing_and_do_no_harm():
    points = np.array([[-9.0, 3, 3], [40, 40, 40]])
    boxes = (np.array([[-9.0, -9, -9], [-5, -5, -5]]),)
    assert kept(field(BODY, SPECK), points=points, boxes=boxes) == [True, False, False]
