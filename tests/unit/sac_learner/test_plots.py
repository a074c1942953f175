"""Learning curves: what a point of them means."""

import numpy as np
from sac_learner.plots import success_curve


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
