"""Figure 1 of Pham et al. 2025: diffusion models on the unit circle, and how far they are from the exact one.

  python -m experiments.circle --config=configs/circle.py --workdir=runs/circle

Six networks, K in {2, 4, 9, 1000, 10000, 60000}, trained together: 51 s on two CPU cores. They predict
the clean point: score = (D - x) / (sigma^2 t) then resolves the small times at which patterns are told apart,
and energies correlate above 0.998 with the exact ones after 3,000 steps in place of the paper's 800,000.

Expected (seed 0): K = 2 memorized; K = 9 memorized 0.56 and spurious 0.44; K >= 1000 generalized, radius
error 0.002. With train.num_steps=12000, four times the training, K = 4 and 9 are memorized too.

Variants: `:smoke` runs the whole path in seconds; `:paper` is the recipe of App. B (noise prediction, width
256, 8 blocks, batch min(K, 500), 800,000 steps, uniform times); nothing above was measured with it.
"""

from ml_collections import ConfigDict

from memgen_jax.configs import parts


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "num_train": (2, 4, 9, 1000, 10_000, 60_000),
            "total": 60_000,
            "model": {
                "width": 128,
                "num_blocks": 4,
                "time_features": "log_fourier",
                "time_in_blocks": False,
            },
            "train": {
                "num_steps": 3000,
                "batch_size": 256,
                "learning_rate": 2e-3,
                "repeat_small": True,
                "warmup_steps": 200,
                "schedule": "cosine",
                "ema_decay": 0.99,
                "prediction": "denoised",
                "times": "mixed",
                "weight": "inverse_time",
                "steps_per_call": 100,
                "checkpoint_seconds": 60.0,
            },
            "landscape": {"time": 0.15, "theory_beta": 20.0},  # beta = 3.33; Pham et al. 2025, App. B
            "sampler": {"num_samples": 1000, "num_steps": 500},
            "attractors": {},
            "phase_diagram": {},
            "correlation": {},
        }
    )
    return parts.with_variants(config, variant, VARIANTS)


def smoke(config: ConfigDict) -> None:
    config.num_train = (2, 9, 1000)
    config.total = 1000
    config.model.update({"width": 32, "num_blocks": 2})
    config.train.update({"num_steps": 300, "batch_size": 64, "warmup_steps": 50, "ema_decay": 0.95})
    config.landscape.side = 8
    config.sampler.update({"num_samples": 100, "num_steps": 50})
    config.attractors.update(
        {"times": (0.001, 0.15, 0.6), "ring_starts": 32, "grid_side": 3, "max_steps": 30}
    )
    config.phase_diagram.update({"num_patterns": (2, 4, 9), "betas": (0.5, 10 / 3, 20.0), "draws": 3})
    config.correlation.update(
        {"shares": (1.0, 0.25), "num_patterns": (2, 6, 18), "betas": (80.0,), "draws": 3}
    )


def paper(config: ConfigDict) -> None:
    config.model.update({"width": 256, "num_blocks": 8, "time_features": "fourier"})
    config.train.update(
        {
            "num_steps": 800_000,
            "batch_size": 500,
            "learning_rate": 1e-4,
            "repeat_small": False,
            "warmup_steps": 0,
            "schedule": "constant",
            "grad_clip": 0.0,
            "ema_decay": 0.0,
            "prediction": "noise",
            "times": "uniform",
            "weight": "unit",
            "steps_per_call": 1000,
            "checkpoint_seconds": 300.0,
        }
    )
    config.sampler.num_steps = 1000


VARIANTS = {"smoke": smoke, "paper": paper}
