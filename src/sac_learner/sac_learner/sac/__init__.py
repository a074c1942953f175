"""Soft Actor-Critic (arXiv 1812.05905), split by equation: critic, actor, temperature, and the learner that joins them."""

from sac_learner.sac.learner import Metrics, SacLearner
from sac_learner.sac.settings import SacSettings

__all__ = ["Metrics", "SacLearner", "SacSettings"]
