import resource
import time

import pytest
from helpers.patience import PATIENCE_S
from sac_learner.metrics import MetricsWriter
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def curve(directory, name):
    accumulator = EventAccumulator(str(directory))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(name)]


def test_resumed_run_goes_on_in_the_same_curve(tmp_path):
    writer = MetricsWriter(tmp_path, resumed_at=0)
    for step in (10, 20, 30):
        assert writer.write(step, {"train/q_mean": float(step)}) is None
    writer.close()
    writer = MetricsWriter(tmp_path, resumed_at=20)
    for step in (25, 35):
        writer.write(step, {"train/q_mean": -float(step)})
    writer.close()
    assert curve(tmp_path, "train/q_mean") == [(10, 10.0), (25, -25.0), (35, -35.0)]


def test_directory_that_cannot_be_written_is_reported_and_tried_again(tmp_path):
    (tmp_path / "blocked").write_text("a file where the directory should be")
    writer = MetricsWriter(tmp_path / "blocked", resumed_at=0)
    assert "cannot write TensorBoard events into" in writer.write(1, {"a": 1.0})
    (tmp_path / "blocked").unlink()
    assert writer.write(2, {"a": 2.0}) is None
    writer.close()
    assert curve(tmp_path / "blocked", "a") == [(2, 2.0)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_full_disk_in_the_writers_own_thread_is_reported_and_survived(tmp_path):
    """The writer's thread dies of it; the learner must neither hang nor stay without a writer."""
    writer, scalars = MetricsWriter(tmp_path, resumed_at=0), {f"name{i}": 1.0 for i in range(20)}
    writer.write(0, scalars)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        step, problem, end = 1, None, time.monotonic() + PATIENCE_S
        while problem is None and time.monotonic() < end:
            problem, step = writer.write(step, scalars), step + 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in problem
    assert writer.write(10_000, scalars) is None
    writer.close()
    assert curve(tmp_path, "name0")[-1] == (10_000, 1.0)
