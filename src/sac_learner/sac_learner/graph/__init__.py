"""Stacks: which nodes a task and a backend need, and how they are started."""
