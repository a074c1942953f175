"""The settings of Soft Actor-Critic; the defaults are the paper's. No PyTorch here: actor and help texts need none."""

from __future__ import annotations

import dataclasses

from rosac_common.settings import SettingsError, setting

# Units of a hidden layer. Source: own choice, four times CrossQ's critics; the weights between two such layers, with
# targets and Adam's means in both critics, take 2 GiB.
_WIDEST = 8192
# Hidden layers. Source: own choice; layers without residual connections are hard to train long before.
_MOST_LAYERS = 16
# What may differ between a checkpoint and the learner that resumes from it, without making it another run.
FREE_ON_RESUME = frozenset({"replay_capacity", "products"})


@dataclasses.dataclass(frozen=True)
class SacSettings:
    """Hyperparameters. "App. D" is that of arXiv 1812.05905; softlearning is its authors' code of December 2018."""

    learning_rate: float = setting(
        3e-4,
        "Step size of Adam for the policy, both critics and the temperature. Source: App. D.",
        minimum=1e-8,
        maximum=1.0,
    )
    adam_beta_1: float = setting(
        0.9,
        "Decay of Adam's mean gradient. Source: arXiv 1412.6980, and TensorFlow's default, the paper's; 0.5 in CrossQ.",
        minimum=0.0,
        maximum=0.999,
    )
    discount: float = setting(0.99, "Discount factor per control step. Source: App. D.", minimum=0.0, maximum=1.0)
    tau: float = setting(
        0.005,
        "Smoothing coefficient of the target critics per update: target += tau * (critic - target). Source: App. D.",
        minimum=0.0,
        maximum=1.0,
    )
    batch_size: int = setting(256, "Transitions per update. Source: App. D.", minimum=1, maximum=1_000_000)
    hidden_sizes: list[int] = setting(
        [256, 256],
        "Units of each hidden layer of the policy and of the critics, 1 to 16 layers. Source: App. D.",
        minimum=1,
        maximum=_WIDEST,
    )
    replay_capacity: int = setting(
        1_000_000, "Transitions kept for sampling; the oldest are overwritten. Source: App. D.", minimum=1
    )
    target_entropy_per_action: float = setting(
        -1.0,
        "Target entropy per action dimension [nat]: -1 gives the paper's -|A|. Source: App. D.",
        minimum=-100.0,
        maximum=100.0,
    )
    temperature_mode: str = setting(
        "learned",
        "Whether alpha is learned (section 5 of the paper) or stays fixed_temperature.",
        choices=("learned", "fixed"),
    )
    initial_temperature: float = setting(
        1.0, "First alpha when it is learned. Source: softlearning, log_alpha starts at 0.", minimum=1e-8, maximum=1e6
    )
    fixed_temperature: float = setting(
        0.2,
        "Alpha when it is fixed. Source: arXiv 1801.01290, table 2: reward scale 5 at alpha 1 is alpha 0.2 at scale 1.",
        minimum=0.0,
        maximum=1e6,
    )
    temperature_loss: str = setting(
        "alpha",
        "Variable in the temperature loss: alpha is equation 18; log_alpha is what softlearning used in 2018.",
        choices=("alpha", "log_alpha"),
    )
    reward_scale: float = setting(
        1.0,
        "Factor on the reward in the critic's target. Source: softlearning, 1 when alpha is learned.",
        minimum=1e-6,
        maximum=1e6,
    )
    initial_random_steps: int = setting(
        2000,
        "Transitions with uniformly random actions before the policy acts and updates begin. Source: softlearning's "
        "D'Claw domains.",
        minimum=0,
    )
    min_pool_steps: int = setting(
        200,
        "Transitions needed before the first update. Source: softlearning, the longest path: 200 for D'Claw.",
        minimum=1,
    )
    critic_normalisation: str = setting(
        "none",
        "layer: LayerNorm in each hidden layer of the critics, before the ReLU, without gain and offset; batch: "
        "BatchNorm of what each of their layers takes, over transitions and successors together, and no target critics "
        "(tau 1). Source: none in the paper; arXiv 2302.02948 (RLPD); arXiv 1902.05605 (CrossQ).",
        choices=("none", "layer", "batch"),
    )
    actor_interval: int = setting(
        1,
        "Updates of the critics for each update of policy and temperature. Source: 1 in the paper; delayed as in "
        "arXiv 1802.09477 (TD3).",
        minimum=1,
        maximum=1000,
    )
    policy_smoothing: float = setting(
        1.0,
        "The policy that acts follows the trained one at each of its updates: acting += policy_smoothing * (trained - "
        "acting); 1: it is the trained one. Source: 1 in the paper; averages of weights, arXiv 1803.05407.",
        minimum=1e-4,
        maximum=1.0,
    )
    symmetry_augmentation: bool = setting(
        False,
        "Turn or mirror every sampled transition by a random symmetry of the task, where it has any. Source: off in "
        "the paper; arXiv 1909.10707 (invariant transform experience replay).",
    )
    target_relabelling: bool = setting(
        False,
        "Give sampled transitions another of the task's targets, where it has any, and the reward that this would have "
        "earned. Source: off in the paper; arXiv 1707.01495 (hindsight experience replay).",
    )
    noise_correlation: float = setting(
        0.0,
        "Correlation of the exploration noise of one action with that of the action before: above 0 the noise is "
        "low-passed and the joints shake less. Source: 0 in the paper's equations.",
        minimum=0.0,
        maximum=0.99,
    )
    gradients: str = setting(
        "derived",
        "How gradients are computed: plain, by automatic differentiation; derived by hand; or compiled, the same for a "
        "CPU by PyTorch's compiler, which needs a C++ compiler and 10 to 30 s at the first start. The same but for "
        "rounding, checked at the start; docs/sac.md, Speed, has figures.",
        choices=("compiled", "derived", "plain"),
    )
    products: str = setting(
        "float32",
        "Type of the derived gradients' matrix products: bfloat16 halves their time where the processor computes it "
        "(AMX, AVX-512 BF16; GPUs since 2020) and rounds hidden layers to 8 bits; auto takes it there. "
        "Source: arXiv 1905.12322.",
        choices=("float32", "bfloat16", "auto"),
    )
    log_std_min: float = setting(
        -20.0, "Lower clip of the policy's log standard deviation. Source: softlearning.", minimum=-100.0, maximum=10.0
    )
    log_std_max: float = setting(
        2.0, "Upper clip of the policy's log standard deviation. Source: softlearning.", minimum=-100.0, maximum=10.0
    )

    def __post_init__(self) -> None:
        # By the names that they have everywhere: as ROS parameters, in files and for `rosac gym --set`.
        if not 1 <= len(self.hidden_sizes) <= _MOST_LAYERS:
            raise SettingsError(
                f"'sac.hidden_sizes' has {len(self.hidden_sizes)} layers; give 1 to {_MOST_LAYERS}, such as [256, 256]"
            )
        if self.replay_capacity < self.batch_size:
            raise SettingsError(
                f"'sac.replay_capacity' is {self.replay_capacity}; it must be at least sac.batch_size "
                f"({self.batch_size})"
            )
        if self.critic_normalisation == "batch" and self.tau != 1.0:
            raise SettingsError(
                f"'sac.tau' is {self.tau}; it must be 1.0 with sac.critic_normalisation batch, which has no target "
                "critics"
            )
        if self.log_std_min >= self.log_std_max:
            raise SettingsError(
                f"'sac.log_std_min' is {self.log_std_min}; it must be below sac.log_std_max ({self.log_std_max})"
            )

    @property
    def start_steps(self) -> int:
        """Transitions after which updates are due."""
        return max(self.initial_random_steps, self.min_pool_steps)


@dataclasses.dataclass(frozen=True)
class RelabellingSettings:
    """What a task says about its target, for sac.target_relabelling; the stacks take it from the task."""

    angle_places: list[int] = setting(
        [],
        "Places in the observation of the cosine and the sine of the angle, and of the error: target minus angle, "
        "wrapped to [-pi, pi]. Empty: the task has no such target.",
        minimum=0,
    )
    turns_rad: list[float] = setting([], "Angles between equal parts, 0 among them [rad].")
    reward_per_rad: float = setting(0.0, "What the reward holds for each rad of |error|. Source: the task's reward.")
    bonus_below_rad: list[float] = setting([], "|error| below which the reward holds a bonus [rad].", minimum=0.0)
    bonus: list[float] = setting([], "Those bonuses. Source: the task's reward.")
    velocity_places: list[int] = setting(
        [],
        "Places in the observation of a velocity that is asked for, and of the one that was measured over the last "
        "step. Empty: none is asked for.",
        minimum=0,
    )
    velocity_range_m_s: list[float] = setting([], "Lowest and highest velocity that the task asks for [m/s].")
    reward_per_m_s: float = setting(
        0.0, "What the reward holds for each m/s of |asked - measured| [s/m]. Source: the task's reward."
    )
