"""What a scheduler_config.json may hold: null, words, numbers out of range. None is taken for something else."""

import numpy as np
import pytest

from memgen_jax import bridges
from memgen_jax.errors import InputError


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"clip_sample_range": None}, "clip_sample_range=None is no number"),
        ({"clip_sample_range": "1"}, "clip_sample_range='1' is no number"),
        ({"clip_sample_range": -1.0}, "clip_sample_range=-1 is not positive"),
        ({"clip_sample_range": float("nan")}, "clip_sample_range=nan is no number"),
        ({"clip_sample": "yes"}, "clip_sample='yes' is neither true nor false"),
        ({"clip_sample": 1}, "clip_sample=1 is neither true nor false"),
    ],
)
def test_a_bound_that_is_none_is_refused(config, words):
    with pytest.raises(InputError, match=words):
        bridges.clip_limit("DDIMScheduler", config)


def test_a_scheduler_that_does_not_clip_needs_no_bound():
    assert bridges.clip_limit("DDIMScheduler", {"clip_sample": False, "clip_sample_range": None}) is None
    assert bridges.clip_limit("DDIMScheduler", {"clip_sample": None}) is None  # as diffusers takes it
    assert bridges.clip_limit("DDIMScheduler", {"clip_sample_range": 2}) == 2
    assert bridges.clip_limit("PNDMScheduler", {"clip_sample": True}) is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"num_train_timesteps": None}, "num_train_timesteps=None is no number"),
        ({"num_train_timesteps": "1000"}, "num_train_timesteps='1000' is no number"),
        ({"num_train_timesteps": 2.5}, "num_train_timesteps=2.5 is no whole number from 1 on"),
        ({"num_train_timesteps": 0}, "num_train_timesteps=0 is no whole number from 1 on"),
        ({"beta_start": "1e-4"}, "beta_start='1e-4' is no number"),
        ({"beta_end": None}, "beta_end=None is no number"),
        ({"beta_start": -0.1, "beta_schedule": "scaled_linear"}, r"beta_start=-0.1 is outside \(0, 1\)"),
        ({"beta_schedule": None}, "beta_schedule None is not supported"),
        ({"trained_betas": "0.1"}, "trained_betas are no list of num_train_timesteps=1000 numbers"),
        ({"trained_betas": ["a"] * 2, "num_train_timesteps": 2}, "trained_betas='a' is no number"),
        ({"thresholding": "no"}, "thresholding='no' is neither true nor false"),
        ({"rescale_betas_zero_snr": 0}, "rescale_betas_zero_snr=0 is neither"),
    ],
)
def test_a_schedule_that_is_none_is_refused(config, words):
    with pytest.raises(InputError, match=words):
        bridges.process_of("DDPMScheduler", config)


@pytest.mark.parametrize("steps", [2.5, float("nan"), -1, 0, 1001, "20", None, True])
def test_a_number_of_steps_that_is_none_is_refused(steps):
    with pytest.raises(InputError, match="num_steps"):
        bridges.sampling_times({}, steps)


def test_steps_may_come_as_any_whole_number():
    np.testing.assert_array_equal(bridges.sampling_times({}, np.int64(4)), [751, 501, 251, 1, 0])
    np.testing.assert_array_equal(bridges.sampling_times({"set_alpha_to_one": False}, 2.0), [501, 1, 1])
    for config, words in (
        ({"steps_offset": None}, "steps_offset=None"),
        ({"set_alpha_to_one": "false"}, "set_alpha_to_one='false'"),
        ({"timestep_spacing": None}, "timestep_spacing None"),
    ):
        with pytest.raises(InputError, match=words):
            bridges.sampling_times(config, 4)


@pytest.mark.parametrize("kind", [None, 1, ["epsilon"]])
def test_kinds_that_are_none_are_refused(kind):
    with pytest.raises(InputError, match="prediction_type"):
        bridges.prediction_of({"prediction_type": kind})
    with pytest.raises(InputError, match="variance_type"):
        bridges.own_step("DDPMScheduler", {"variance_type": kind})
