"""`rosac gym` as a user starts it: what it reports and refuses, and that a killed run goes on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import in_process
from helpers.graph import ROSAC, rosac
from helpers.patience import PATIENCE_S, until
from rosac_common.environment import ros_environment
from sac_learner.graph.modes import mode_names, mode_parameters

# Not compiled: that takes longer than all of it.
QUICK = (
    *("--set", "sac.gradients=derived"),
    *("--set", "sac.hidden_sizes=[16,16]", "--set", "sac.batch_size=8", "--set", "sac.initial_random_steps=100"),
    *("--set", "sac.min_pool_steps=20", "--eval-episodes", "2", "--threads", "1"),
)


@pytest.fixture(autouse=True)
def _own_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


def test_reports_the_evaluation_curve_the_same_for_the_same_seed(tmp_path: Path) -> None:
    texts = []
    for name in ("first.json", "again.json"):
        options = ("--mode", "sac_fixed_temperature", "--steps", "300", "--seed", "4", "--json", name)
        result = rosac("gym", "Pendulum-v1", *options, *QUICK, directory=tmp_path)
        assert result.returncode == 0, result.stderr
        assert "evaluation at 300 steps: mean return" in result.stdout
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]
    document = json.loads(texts[0])
    assert {"env_id": "Pendulum-v1", "mode": "sac_fixed_temperature", "seed": 4}.items() <= document.items()
    assert document["steps"] == list(range(15, 301, 15))
    assert len(document["return_mean"]) == 20
    assert document["updates"] == 200 * mode_parameters("sac_fixed_temperature").get("pacing.updates_per_step", 1)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["again.json", "first.json"], "nothing else is left"


def test_an_environment_of_ones_own_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that `make setup` installs, which has not the current directory where Python looks."""
    monkeypatch.delenv("PYTHONPATH")
    (tmp_path / "mine.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control import PendulumEnv\n"
        "gymnasium.register('Own-v0', 'mine:PendulumEnv', max_episode_steps=10)\n"
    )
    result = subprocess.run(
        [Path(sys.prefix) / "bin" / "rosac", "gym", "mine:Own-v0", "--steps", "20", *QUICK],
        cwd=tmp_path,
        env=ros_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert result.returncode == 0, result.stderr
    assert "evaluation at 20 steps: mean return" in result.stdout


@pytest.mark.parametrize("mode", mode_names())
def test_every_mode_turns_the_valve(mode: str, tmp_path: Path) -> None:
    options = ("--mode", mode, "--steps", "110", "--eval-interval", "55", "--json", "out.json")
    result = rosac("gym", "rosac/DClawTurn-v0", *options, *QUICK, directory=tmp_path)
    assert result.returncode == 0, result.stderr
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["steps"] == [55, 110]
    assert {len(document[name]) for name in ("return_mean", "success_rate", "robot_time_s")} == {2}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["Pendulumm-v1"], "Did you mean: `Pendulum`"),
        (["CartPole-v1"], "action space Discrete(2)"),
        (["helpers.gym_environments:test/UnboundedAction-v0"], "finite bounds"),
        (["helpers.gym_environments:test/Image-v0"], "images are a later step"),
        (["helpers.gym_environments:test/Dictionary-v0"], "observation space Dict"),
        (["Pendulum-v1", "--mode", "ppo"], "invalid choice: 'ppo' (choose from"),
        (["Pendulum-v1", "--steps", "0"], "'steps' is 0; it must be in 1"),
        (["Pendulum-v1", "--steps", "many"], "invalid int value: 'many'"),
        (["Pendulum-v1", "--seed", "-1"], "'seed' is -1"),
        (["Pendulum-v1", "--eval-episodes", "0"], "'evaluation_episodes' is 0"),
        (["Pendulum-v1", "--eval-interval", "0"], "--eval-interval is 0; it must be at least 1"),
        (["Pendulum-v1", "--set", "sac.discont=0.9"], "did you mean 'sac.discount'"),
        (["Pendulum-v1", "--set", "sac.discount=1.5"], "'sac.discount' is 1.5; it must be in 0 .. 1"),
        (["Pendulum-v1", "--set", "sac.discount=high"], "'sac.discount' must be of type float, not 'high'"),
        (["Pendulum-v1", "--set", "sac.discount"], "expected NAME=VALUE"),
        (["Pendulum-v1", "--set", "seed=3"], "'seed' has an option of its own"),
        (["Pendulum-v1", "--set", "sac.tau=0.1", "--set", "sac.tau=0.2"], "set twice"),
        (
            ["Pendulum-v1", "--mode", "efficient", "--set", "sac.tau=0.1"],
            "'sac.tau' is 0.1; it must be 1.0 with sac.critic",
        ),
        (
            ["Pendulum-v1", "--set", "sac.replay_capacity=7"],
            "'sac.replay_capacity' is 7; it must be at least sac.batch_size",
        ),
        (
            ["Pendulum-v1", "--set", "sac.log_std_min=3"],
            "'sac.log_std_min' is 3.0; it must be below sac.log_std_max (2",
        ),
        (["Pendulum-v1", "--set", "sac.hidden_sizes=[]"], "'sac.hidden_sizes' has 0 layers; give 1 to 16"),
        (["Pendulum-v1", "--set", f"sac.hidden_sizes={[8] * 17}"], "'sac.hidden_sizes' has 17 layers; give 1 to 16"),
        (["Pendulum-v1", "--set", "sac.hidden_sizes=[8193]"], "'sac.hidden_sizes' is 8193; it must be in 1 .. 8192"),
        (["Pendulum-v1", "--resume"], "--resume needs --directory"),
        (["Pendulum-v1", "--json", "taken/letters.txt/out.json"], "letters.txt is no directory; choose another file"),
        (["Pendulum-v1", "--directory", "taken"], "holds letters.txt and no gym.json"),
        (["Pendulum-v1", "--directory", "taken/letters.txt"], "letters.txt is no directory; choose another one"),
        (["Pendulum-v1", "--set", "sac.replay_capacity=1000000000000", "--steps", "1000000000000"], "available are"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(
    options: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letters.txt").touch()
    directory = () if "--directory" in options or "--resume" in options else ("--directory", "run")
    steps = () if "--steps" in options else ("--steps", "100")
    code, printed, complained = in_process.rosac("gym", *options, *steps, *directory)
    assert code == 2, printed + complained
    assert expected in complained
    assert "Traceback" not in complained
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "letters.txt"]


def test_a_result_that_cannot_be_written_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("gym", "Pendulum-v1", "--steps", "30", "--eval-interval", "30", *QUICK, "--eval-episodes", "1")
    directory = ("--directory", "new/run")
    code, _, complained = in_process.rosac(*command, *directory, "--json", "/dev/full")
    assert code == 1
    assert "cannot write /dev/full: No space left on device" in complained
    assert "the same command with --resume and another --json writes it at once" in complained
    code, printed, complained = in_process.rosac(*command, *directory, "--resume", "--json", "new/run/out.json")
    assert code == 0, printed + complained
    assert json.loads(Path("new/run/out.json").read_text())["steps"] == [30]
    code, _, complained = in_process.rosac(*command, "--json", "/dev/full")
    assert code == 1
    assert "--directory keeps a training" in complained


def test_a_full_disk_ends_the_training_and_says_how_it_goes_on(tmp_path: Path) -> None:
    command = [*ROSAC, "gym", "Pendulum-v1", "--steps", "1500", "--eval-interval", "1500", "--directory", "run", *QUICK]
    result = subprocess.run(
        ["bash", "-c", f"ulimit -f 20; exec {shlex.join(command)}"],  # 20 KiB, the kernel's own refusal
        cwd=tmp_path,
        env=ros_environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    assert "rosac: cannot write run/replay/000000.replay: File too large" in result.stderr
    assert result.stderr.endswith("then the same command with --resume goes on\n")
    assert "tried again" not in result.stderr and "Traceback" not in result.stderr


def imports_pytorch(process: subprocess.Popen[str], _: Path) -> bool:
    return "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()


def compiles(_: subprocess.Popen[str], cache: Path) -> bool:
    return any(cache.rglob("*.cpp"))


@pytest.mark.parametrize(("moment", "number"), [(imports_pytorch, signal.SIGTERM), (compiles, signal.SIGINT)])
def test_what_is_interrupted_while_starting_ends_quietly(
    moment: Callable[[subprocess.Popen[str], Path], bool], number: signal.Signals, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [*ROSAC, "gym", "Pendulum-v1", "--steps", "1000000", "--set", "sac.gradients=compiled", "--directory", "run"],
        cwd=tmp_path,
        env=ros_environment() | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        until(lambda: process.poll() is not None or moment(process, tmp_path / "cache"), "it is there")
    except AssertionError:
        process.kill()
        raise
    os.killpg(process.pid, number)  # as a terminal does: compilers get it, too
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, output
    # On a machine that let this test wait, the training may have begun.
    assert output.splitlines()[-1].startswith(f"stopped by {number.name}")
    assert "Traceback" not in output


def wait_for_steps(process: subprocess.Popen[str], log: Path, size: int) -> None:
    """Until the replay log holds `size` bytes."""
    until(lambda: process.poll() is not None or (log.exists() and log.stat().st_size >= size), "steps are logged")
    assert process.poll() is None, "it ended by itself"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_ended_run_goes_on_to_the_same_number_of_steps(number: signal.Signals, tmp_path: Path) -> None:
    options = ("Pendulum-v1", "--steps", "1500", "--directory", "run", "--eval-interval", "500", *QUICK)
    command = [*ROSAC, "gym", *options, "--set", "checkpoint_interval_updates=200"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=ros_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for_steps(process, tmp_path / "run" / "replay" / "000000.replay", 50_000)
    process.send_signal(number)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert ("--resume" in output) == (number == signal.SIGINT)
    resume = ("--set", "checkpoint_interval_updates=200", "--resume", "--json", "out.json")
    result = rosac("gym", *options, *resume, directory=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "resumed at" in result.stdout
    document = json.loads((tmp_path / "out.json").read_text())
    assert (document["steps"], document["updates"]) == ([500, 1000, 1500], 1400)
