"""Soft Actor-Critic (arXiv 1812.05905), split by equation: critic, actor, temperature, and the learner that joins them.

Nothing is imported here, so that the settings can be read without loading PyTorch.
"""
