"""Tables and plots of the walking benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from robot_bridge.leg_kinematics import LEGS
from robot_bridge.simulation.motor_model import HOT_TIME_S, HOT_TORQUE_NM
from walking_episodes import Gait, Walked

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402 - the backend is chosen first

_NAMES = [leg.replace("_", " ") for leg in LEGS]


def figures_of(walked: Sequence[Walked]) -> dict[str, float | None]:
    """What the table says of some episodes. Speeds are those of episodes without a fall; None: there was none."""
    speeds = [each.speed_m_s for each in walked if not each.fallen]
    return {
        "episodes": len(walked),
        "successes": sum(each.success for each in walked),
        "falls": sum(each.fallen for each in walked),
        "speed_m_s": float(np.mean(speeds)) if speeds else None,
        "slowest_m_s": min(speeds, default=None),
    }


def ground_table(grounds: Mapping[str, Mapping[int, Mapping[str, float | None]]]) -> str:
    """Markdown: one row a ground, over all seeds; `grounds`: ground -> seed -> :func:`figures_of`."""
    lines = [
        "| ground | success | of each seed | falls | episodes | mean speed [m/s] | slowest [m/s] |",
        "|---|---|---|---|---|---|---|",
    ]
    for ground, seeds in grounds.items():
        rows = list(seeds.values())
        episodes, falls, successes = (sum(row[key] for row in rows) for key in ("episodes", "falls", "successes"))
        each = ", ".join(f"{row['successes'] / row['episodes']:.0%}" for row in rows)
        up = [row for row in rows if row["speed_m_s"] is not None]
        speed = slowest = "-"
        if up:
            weights = [row["episodes"] - row["falls"] for row in up]
            speed = f"{np.average([row['speed_m_s'] for row in up], weights=weights):.2f}"
            slowest = f"{min(row['slowest_m_s'] for row in up):.2f}"
        cells = [ground.replace("_", " "), f"{successes / episodes:.0%}", each, falls, episodes, speed, slowest]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def seed_table(seeds: Mapping[int, Mapping[str, float]]) -> str:
    """Markdown: one row a seed; what training and its final evaluation through the graph found."""
    lines = [
        "| seed | steps | updates a step | success trained | untrained | training episodes | falls | safety stops | "
        "robot time [min] |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for seed, row in seeds.items():
        done = [f"{row[key]:g}" for key in ("steps", "updates_per_step")]
        success = [f"{row[key]:.0%}" for key in ("trained_success", "untrained_success")]
        counts = [f"{row[key]:g}" for key in ("training_episodes", "training_falls", "training_stops")]
        cells = [str(seed), *done, *success, *counts, f"{row['robot_time_s'] / 60:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def page(
    name: str,
    seeds: Mapping[int, Mapping[str, float]],
    grounds: Mapping[str, Mapping[int, Mapping[str, float | None]]],
) -> str:
    """The page of results, with the pictures that lie beside it."""
    counts = sorted({row["evaluation_episodes"] for row in seeds.values()})
    parts = [
        f"`rosac train minitaur_walk`, and its final evaluation through the graph: {' or '.join(map(str, counts))} "
        "episodes of 10 s on flat ground, mean action. Success: no fall, and 0.3 m/s or more over the episode.",
        seed_table(seeds),
        f"![success against control steps]({name}.png)",
        "Trained on flat ground alone, then led over others (docs/minitaur.md, Ground), in one process. Speeds are of "
        "episodes without a fall.",
        ground_table(grounds),
        "One episode on each, of the first seed; after a fall the last picture stays.",
        *(f"{ground.replace('_', ' ')}: ![{ground}]({name}_{ground}.png)" for ground in grounds),
        f"Feet, legs and motors of the first one:\n\n![gait]({name}_gait.png)",
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def plot_gait(gait: Gait, path: Path) -> None:
    """Contacts, swing, extension, torque and heat over one episode."""
    figure, axes = plt.subplots(5, 1, sharex=True, figsize=(13, 12), layout="constrained")
    contact, swing, extension, torque, heat = axes
    time_s = gait.time_s
    for leg, name in enumerate(_NAMES):
        down = np.flatnonzero(gait.contact[:, leg])
        spans = [(time_s[i] - gait.period_s, gait.period_s) for i in down]
        contact.broken_barh(spans, (leg - 0.4, 0.8), color=f"C{leg}")
        swing.plot(time_s, gait.swing_rad[:, leg], color=f"C{leg}", label=name)
        extension.plot(time_s, gait.extension_rad[:, leg], color=f"C{leg}")
        for half, style in ((0, "-"), (1, ":")):
            motor = 2 * leg + half
            torque.plot(time_s, gait.torque_nm[:, motor], style, color=f"C{leg}", linewidth=0.8)
            heat.plot(time_s, gait.hot_s[:, motor], style, color=f"C{leg}")
    contact.set(yticks=range(4), yticklabels=_NAMES, ylabel="on the ground", title=f"{gait.walked.speed_m_s:.2f} m/s")
    contact.invert_yaxis()
    swing.set(ylabel="swing [rad]")
    swing.legend(ncols=4, loc="upper right")
    extension.set(ylabel="extension [rad]")
    torque.set(ylabel="torque [Nm]\n(dotted: right motor)")
    for limit in (-HOT_TORQUE_NM, HOT_TORQUE_NM):
        torque.axhline(limit, color="grey", linewidth=0.8, linestyle="--")
    heat.axhline(HOT_TIME_S, color="grey", linewidth=0.8, linestyle="--")
    heat.set(ylabel=f"time above {HOT_TORQUE_NM} Nm [s]\n(motor off: {HOT_TIME_S:g} s)", xlabel="time [s]")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)
