"""Training from a stream of transitions: intake, replay memory and log, pace, updates, checkpoints. No ROS."""
