"""Basins, curvature and energy gaps of the digits run (`configs/digits.py`).

  python -m experiments.geometry --config=configs/geometry_digits.py --config.run=runs/digits \\
      --workdir=runs/digits_geometry

Pham et al. 2025 (long version): memorized > spurious > generalized in basin volume and in curvature. The
settings are ours where theirs are not public; each is below.

Variant: `:smoke` measures a few samples coarsely, in seconds.
"""

from ml_collections import ConfigDict

from memgen_jax.configs import parts


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.run = ""
    # All three phases must occur somewhere in the run; sizes where one is missing compare the others.
    config.select = ConfigDict(
        {
            "per_phase": 16,
            # Drawn at random within each phase; "certain" takes the clearest, whose order is partly the choice's own.
            "order": "random",
            "phases": ("memorized", "spurious", "generalized"),
            "num_train": (),
            "width": 0,
        }
    )
    config.basins = ConfigDict(
        {
            "metric": "l2",
            # Half the 1% quantile of the distance between different real digits (1.17): what comes back
            # within it is the same picture. Smaller than delta_m, so that a sample's class and its basin
            # are measured independently.
            "delta": 0.5,
            "levels": 20,
            "copies": 10,
            "num_steps": 20,
            "required": 0.9,
            "levels_at_once": 0,
        }
    )
    # t = 20, 50, 100 and 200 of 1000: noise of 0.08, 0.17, 0.32 and 0.58 a pixel.
    config.curvature = ConfigDict(
        {
            "times": (0.05, 0.02, 0.1, 0.2),
            "near_zero": 0.1,
            "full_up_to": 3072,
            "memory_megabytes": 512,
            "columns_at_once": 0,
            "rank": 32,
            "iterations": 8,
            "probes": 32,
            "draws": 16,
        }
    )
    config.energy_gap = ConfigDict({"time": 0.1, "references": 8, "points": 65})
    return parts.with_variants(config, variant, VARIANTS)


def smoke(config: ConfigDict) -> None:
    config.select.update({"per_phase": 4, "phases": ()})
    config.basins.update({"levels": 5, "copies": 4, "num_steps": 5})
    config.curvature.update({"times": (0.05, 0.2), "draws": 2})
    config.energy_gap.update({"references": 2, "points": 17})
    config.resamples = 199


VARIANTS = {"smoke": smoke}
