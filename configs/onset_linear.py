"""Figs. 2 and 3 of "On the onset of memorization to generalization transition in diffusion models".

  python -m experiments.onset --config=configs/onset_linear.py --workdir=runs/onset_linear

A one-step linear denoiser on isotropic Gaussians, d = 16 and 100, N = 10,000 original points, 200 independent
simulations, every distance in closed form and exact. Expected (Silverman's width, derived covariance): P(Δ>0)
is 0 up to n = 8 and 1 from 16 on at d = 16, 0 at 40 and 1 from 60 on at d = 100, and falls to one half as
n nears N; H² leaves 1 at n = d + 1 and reaches its floors 0.36805 and 0.94321.

The paper's caption has another kernel width (`--config.kernel_width=leading`), which gives other sizes:
figures/readings.png lays all readings side by side.

Variants: `:smoke` takes seconds, `:paper` 1,000 simulations.
"""

from ml_collections import ConfigDict

from memgen_jax.configs import parts


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "model": "linear",
            "dims": (16, 100),
            "num_train": (
                *(2, 4, 6, 8, 10, 12, 14, 16, 17, 20, 24, 28, 32, 40, 45, 50, 55, 60, 64, 80, 100),
                *(101, 110, 128, 160, 256, 512, 1000, 2000),
            ),
            # Sizes up to N, for the first of `dims` alone: Fig. 3, right.
            "num_train_large": (3000, 4500, 6000, 8000, 10_000),
            "num_original": 10_000,
            "num_simulations": 200,
            # All readings of width and covariance, side by side; no sizes to leave it out.
            "readings_num_train": (2, 4, 8, 12, 16, 17, 20, 24, 28, 32, 40, 50, 60, 80, 101, 160, 300, 1000),
        }
    )
    return parts.with_variants(config, variant, VARIANTS)


def smoke(config: ConfigDict) -> None:
    config.dims = (4,)
    config.num_train = (2, 4, 8, 32)
    config.num_train_large = (200,)
    config.num_original = 200
    config.num_simulations = 8
    config.readings_num_train = (2, 8)


def paper(config: ConfigDict) -> None:
    config.num_simulations = 1000


VARIANTS = {"smoke": smoke, "paper": paper}
