"""Entry points of the nodes `actor` and `learner`."""

from rosac_common.node_start import start


def actor() -> int:
    """The executable `actor`."""
    return start("sac_learner.actor_node")


def learner() -> int:
    """The executable `learner`."""
    return start("sac_learner.learner_node")
