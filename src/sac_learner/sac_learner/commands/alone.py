"""No second graph in one namespace: each would command the other's robot, and store what the other one did."""

from __future__ import annotations

from sac_learner.commands.robot_link import RobotLink
from sac_learner.graph.stacks import Graph
from sac_learner.runs.run_directory import RunError

# A bridge on this computer is known at once (rosac_common/one_bridge.py); these times are for others. Within this one
# any other graph is noticed: Fast DDS announces every node at least every 3 s.
ANY_GRAPH_S = 3.5
# Within this one a graph that rosac or its launch file has started, four times as long as its nodes pause between two
# announcements (graph/dds.py); when a bridge is found later, the robots that moved stop and none is armed.
QUICK_GRAPH_S = 1.0


def check_that_nobody_speaks(link: RobotLink, listen_s: float) -> None:
    """Listen for another graph in the namespace of the link, for so long [s].

    Raises:
        RunError: there is one.
    """
    if link.spin_until(lambda: link.has_bridge, listen_s):
        raise RunError(
            f"another graph is up in namespace '/{link.namespace}': each would command the other's robot, too; end "
            "that first, or choose another namespace with namespace:=NAME"
        )


def check_that_it_is_alone(graph: Graph) -> None:
    """As :func:`check_that_nobody_speaks`, before this graph is started."""
    with RobotLink(graph.arguments["namespace"], graph.arguments["discovery"], name="rosac") as link:
        check_that_nobody_speaks(link, QUICK_GRAPH_S)
