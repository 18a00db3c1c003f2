import json

import numpy as np
import pytest

from configs import digits
from memgen_jax import runs
from memgen_jax.programs.transition import settings as transition_settings
from memgen_jax.programs.transition import tables as transition_tables


def test_seeds_of_one_size_are_pooled_into_one_statement(tmp_path):
    config = digits.get_config("smoke")
    config.update(seeds=(0, 1), num_train=(2, 16))
    run = transition_settings.TransitionRun(config)
    workdir = runs.Workdir(tmp_path, {})
    for member in (*run.members, *run.controls):
        # δ is near 1: of four samples the first `seed` + 1 are copies, the others are far from everything.
        far = np.where(np.arange(4) <= member.seed, 0.0, 50.0 + member.seed).astype(np.float32)
        workdir.write_npz(f"neighbors/{member.name}.npz", train_distance=far, synthetic_distance=far)
    transition_tables.classify(run, workdir)
    results = json.loads((tmp_path / "transition.json").read_text())
    assert results["smallest_size"]["control_memorized"] == results["smallest_size"]["memorized"] == 3 / 8
    quality = results["held_out_quality"]
    assert [row["num_train"] for row in quality] == [2, 16]
    assert quality[0]["sample_distance"] == pytest.approx(50)  # the median of 50, 50, 50, 51, 51
