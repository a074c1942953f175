"""Learning curves: what a point of them means."""

import numpy as np
import pytest
from sac_learner.runs import plots
from sac_learner.runs.plots import success_curve


def rows(errors: list[float]) -> list[dict[str, str]]:
    return [{"transitions": str(80 * (i + 1)), "final_error_rad": str(error)} for i, error in enumerate(errors)]


def test_a_point_is_the_share_of_the_last_episodes() -> None:
    steps, share = success_curve(rows([0.05, 0.3, 0.05, 0.05]), 0.1, window=2)
    assert steps.tolist() == [160, 240, 320]
    assert share.tolist() == [0.5, 0.5, 1.0]


def test_fewer_episodes_than_the_window_give_one_point() -> None:
    steps, share = success_curve(rows([0.05, 0.3]), 0.1)
    assert steps.tolist() == [160]
    np.testing.assert_allclose(share, [0.5])


def test_without_a_tolerance_the_task_itself_judges() -> None:
    judged = [row | {"success": success} for row, success in zip(rows([0.0, 0.0, 0.3]), "101", strict=True)]
    assert success_curve(judged, None, window=3)[1].tolist() == [2 / 3]


@pytest.mark.parametrize(
    ("task", "label", "curves"),
    [
        ("DClawTurn", "final |error| [rad]", ["|error| < 0.25 rad", "|error| < 0.10 rad"]),
        ("MinitaurWalk", "final |error| [m/s]", ["success"]),
    ],
)
def test_errors_are_drawn_in_the_unit_of_the_task(tmp_path, monkeypatch, task, label, curves) -> None:
    drawn = []
    monkeypatch.setattr(plots.plt, "close", drawn.append)
    made = [row | {"success": "1", "task": task, "episode_return": "3"} for row in rows([0.05, 0.3])]
    plots._learning_curve(made, "run", tmp_path / "curve.png")
    _, middle, bottom = drawn[0].axes
    assert bottom.get_ylabel() == label
    assert [text.get_text() for text in middle.get_legend().get_texts()] == curves
