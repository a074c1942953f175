import numpy as np
import pytest
from sac_learner.sac.batch import Batch

OBSERVATION_SIZE, ACTION_SIZE = SIZES = (5, 3)
IMAGE_SHAPE = (4, 5, 3)


def make_batch(size=4, **changes):
    shapes = {"observation": (size, OBSERVATION_SIZE), "action": (size, ACTION_SIZE), "reward": (size,)}
    shapes |= {"next_observation": shapes["observation"], "bootstrap": (size,)}
    return Batch(**{name: np.zeros(shape, np.float32) for name, shape in shapes.items()} | changes)


def images(count):
    return np.zeros((count, *IMAGE_SHAPE), np.uint8)


@pytest.mark.parametrize("field", ["observation", "action", "reward", "next_observation", "bootstrap"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(field, value):
    array = getattr(make_batch(5), field).copy()
    array[(3, *[1] * (array.ndim - 1))] = value
    column = ", column 1" if array.ndim == 2 else ""
    with pytest.raises(ValueError, match=rf"batch: {field} is {value} in row 3{column}:"):
        make_batch(5, **{field: array}).check(*SIZES)


def test_an_empty_batch_is_refused():
    empty = {name: getattr(make_batch(1), name)[:0] for name in ("observation", "action", "reward")}
    with pytest.raises(ValueError, match="batch: it holds no transition"):
        make_batch(1, **empty).check(*SIZES)


def test_large_finite_values_are_no_fault():
    make_batch(4, reward=np.full(4, 3e38, dtype=np.float32)).check(*SIZES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("next_observation", np.zeros((4, ACTION_SIZE), np.float32)),
        ("observation", np.zeros((4, OBSERVATION_SIZE))),
        ("action", np.zeros((3, ACTION_SIZE), np.float32)),
        ("bootstrap", np.zeros((4, 1), np.float32)),
    ],
)
def test_batch_names_the_wrong_field(name, value):
    with pytest.raises(ValueError, match=f"batch: {name} is "):
        make_batch(**{name: value}).check(*SIZES)


@pytest.mark.parametrize(
    ("changes", "shape", "named"),
    [
        ({}, IMAGE_SHAPE, "image is missing"),
        ({"image": images(4)}, IMAGE_SHAPE, "next_image is missing"),
        ({"image": images(3), "next_image": images(4)}, IMAGE_SHAPE, "image is uint8 .3, 4"),
        (dict.fromkeys(("image", "next_image"), np.zeros((4, *IMAGE_SHAPE))), IMAGE_SHAPE, "image is float64"),
        (dict.fromkeys(("image", "next_image"), images(4)), None, "image is given, expected none"),
    ],
)
def test_batch_names_the_wrong_image(changes, shape, named):
    with pytest.raises(ValueError, match=f"batch: {named}"):
        make_batch(**changes).check(*SIZES, shape)
