"""rosac gym: the learner on a Gymnasium environment, in one process, without ROS."""
