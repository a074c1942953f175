"""Soft Actor-Critic for real robots: the method, the learner and actor nodes, the rosac command."""
