"""The tasks of rosac, valve turning and walking: observation, reward, reset and the task node."""
