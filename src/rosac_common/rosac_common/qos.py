"""The QoS profiles of the graph (docs/architecture.md, Topics)."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data


def _profile(depth: int, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability
    )


# A reliable publisher serves best-effort and reliable subscribers.
STATE = _profile(5)
# For who acts on a state: kept waiting, it must not take an old one for new.
NEWEST = _profile(1)
# A stale command must never be queued behind a newer one.
COMMAND = _profile(1)
# Reliable is reliable only within its depth: deep enough for a learner that is busy for seconds.
REPLAY = _profile(5000)
# Late joiners get the newest.
LATCHED = _profile(1, DurabilityPolicy.TRANSIENT_LOCAL)
EVENTS = _profile(10)
# In lockstep several episodes end in a second; none may be missed by whoever keeps the table. A learner that is away
# for 2 hours of a robot's episodes (8 s or more each) hears them all when it is back.
EPISODES = _profile(1000, DurabilityPolicy.TRANSIENT_LOCAL)
# Drivers of sensors may publish best-effort; a subscriber of this profile hears both kinds.
SENSORS = qos_profile_sensor_data
