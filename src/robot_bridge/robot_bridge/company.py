"""Who else is in the bridge's namespace: two programs that command one robot, or two robots that obey one program."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

# Fast DDS forgets a process that was killed after its lease of 20 s.
_REMEDY = "end it, or give it a namespace of its own with namespace:=NAME; one that was killed is forgotten in 20 s"

# What rmw says of a publisher that it has found before its node.
_UNKNOWN = "_NODE_NAME_UNKNOWN_"


class Company:
    """Counts publishers.

    Args:
        node: the bridge.
        commands: resolved name of the topic of commands, of which there may be one source.
        states: resolved name of the topic of states, of which the bridge is the source.
    """

    def __init__(self, node: Node, commands: str, states: str) -> None:
        self._node, self._commands, self._states = node, commands, states

    def second_bridge(self) -> str:
        """Who else publishes states, and what to do about it; empty: nobody."""
        return self._too_many(self._states, "one robot's states would pass for the other's")

    def second_commander(self) -> str:
        """Which two publish commands, and what to do about it; empty: at most one does."""
        return self._too_many(self._commands, "the robot would obey both")

    def _too_many(self, topic: str, consequence: str) -> str:
        publishers = self._node.get_publishers_info_by_topic(topic)
        if len(publishers) < 2:
            return ""
        names = ", ".join(sorted(_name(publisher) for publisher in publishers))
        return f"{len(publishers)} nodes publish {topic} ({names}): {consequence}; {_REMEDY}"


def _name(publisher: TopicEndpointInfo) -> str:
    if publisher.node_name == _UNKNOWN:
        return "one whose name is not known yet"
    return f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
