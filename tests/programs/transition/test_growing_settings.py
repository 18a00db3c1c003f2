"""What a run asks for, together with what its folder has."""

import pytest
from etils import epath

from memgen_jax.configs import digits
from memgen_jax.programs.settings import settings_from
from memgen_jax.programs.transition.growth import Before, Kept, joined
from memgen_jax.programs.transition.settings import TransitionSettings


@pytest.mark.parametrize("done", [True, False])
def test_a_run_that_was_killed_before_or_after_its_first_samples_asks_for_what_it_asked_for(done):
    """A folder that had members and no samples was once continued as a sweep over widths."""
    config = digits.get_config("smoke")
    settings = settings_from(TransitionSettings, config)
    members = tuple(Kept(size, 0, None, f"num_train={size:06d}", done) for size in (2, 16, 128))
    before = Before(epath.Path("run"), config.to_dict(), members)
    assert joined(settings, before) == settings


def test_widths_that_are_there_are_kept_beside_that_of_the_model():
    config = digits.get_config("smoke")
    settings = settings_from(TransitionSettings, config)
    members = (Kept(2, 0, 32, "num_train=000002,width=32", True),)
    assert joined(settings, Before(epath.Path("run"), config.to_dict(), members)).widths == (32, 128)
