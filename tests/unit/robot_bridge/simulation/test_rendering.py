"""Pictures: right is right, up is left of it, and a machine without OpenGL is told what to install."""

import ctypes

import numpy as np
import pytest
from robot_bridge.simulation.dclaw import DClawSimulation
from robot_bridge.simulation.rendering import RenderingUnavailable


@pytest.fixture
def simulation(robot):
    simulation = DClawSimulation(robot)
    yield simulation
    simulation.close()


def rendered(simulation, *arguments):
    try:
        return simulation.render(*arguments)
    except RenderingUnavailable as error:
        pytest.skip(str(error))


def lobe_centre(picture):
    """Mean (column, row) of the orange pixels, from the centre of the picture: right and up are positive."""
    red, green, blue = np.moveaxis(picture.astype(int), 2, 0)
    rows, columns = np.nonzero((red > 140) & (green > 50) & (green < red - 40) & (blue < 90))
    assert len(rows) > 20
    height, width = picture.shape[:2]
    return columns.mean() - width / 2, height / 2 - rows.mean()


@pytest.mark.parametrize(
    ("angle", "direction"), [(0.0, (1, 0)), (np.pi / 2, (0, 1)), (np.pi, (-1, 0)), (-np.pi / 2, (0, -1))]
)
def test_from_above_the_coloured_lobe_points_where_the_angle_says(simulation, angle, direction):
    simulation.set_state(np.array([0.0, -np.pi / 3, np.pi / 3] * 3 + [angle]))
    centre = np.array(lobe_centre(rendered(simulation, 64, 64, "top")))
    np.testing.assert_allclose(centre / np.linalg.norm(centre), direction, atol=0.15)


def test_from_the_front_right_is_right(simulation):
    simulation.set_state(np.array([0.0, -np.pi / 3, np.pi / 3] * 3 + [0.0]))
    assert lobe_centre(rendered(simulation))[0] > 5
    simulation.set_state(np.array([0.0, -np.pi / 3, np.pi / 3] * 3 + [np.pi]))
    assert lobe_centre(rendered(simulation))[0] < -5


def test_pictures_have_the_size_asked_for(simulation):
    assert rendered(simulation, 80, 60).shape == (60, 80, 3)
    picture = rendered(simulation, 32, 48, "top")
    assert picture.shape == (48, 32, 3)
    assert picture.dtype == np.uint8


def test_a_model_without_that_camera_is_told_to_get_one(simulation):
    with pytest.raises(RenderingUnavailable, match="no camera 'rear', only .*'front'.*put one into its MJCF"):
        simulation.render(camera="rear")


def test_without_opengl_the_remedy_is_named(simulation, monkeypatch):
    def missing(name, *_):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(RenderingUnavailable, match="apt-get install libegl1 libosmesa6 libgl1-mesa-dri") as error:
        simulation.render()
    assert "libEGL.so.1" in str(error.value)
