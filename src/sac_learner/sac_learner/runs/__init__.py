"""Run directories: what they hold, tables of episodes, plots and picture strips. No ROS."""
