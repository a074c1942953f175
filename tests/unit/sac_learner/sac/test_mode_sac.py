"""Mode sac is the paper's algorithm, with a fixed temperature too: what is not in it is off."""

from sac_learner.graph.modes import mode_parameters

# What is not in the paper's algorithm: off at these values, whatever the defaults become.
OFF = {
    "initial_temperature": 1.0,
    "adam_beta_1": 0.9,
    "critic_normalisation": "none",
    "actor_interval": 1,
    "policy_smoothing": 1.0,
    "symmetry_augmentation": False,
    "target_relabelling": False,
    "noise_correlation": 0.0,
    "products": "float32",
    "reward_scale": 1.0,
}


def test_mode_sac_says_itself_that_every_deviation_from_the_paper_is_off():
    parameters = mode_parameters("sac")
    assert {name: parameters[f"sac.{name}"] for name in OFF} == OFF


def test_the_fixed_temperature_differs_by_nothing_but_its_temperature():
    learned, fixed = mode_parameters("sac"), mode_parameters("sac_fixed_temperature")
    assert fixed["sac.temperature_mode"] == "fixed"
    of_temperature = {name for name in learned | fixed if "temperature" in name or "entropy" in name}
    assert {k: v for k, v in fixed.items() if k not in of_temperature} == {
        k: v for k, v in learned.items() if k not in of_temperature
    }
