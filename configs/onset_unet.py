"""Fig. 4 of "On the onset of memorization to generalization transition in diffusion models".

  python -m experiments.onset --config=configs/onset_unet.py --workdir=runs/onset_unet

A U-Net of 12,918,517 parameters (the paper: 12.9M) on 16×16 images of independent Gaussian pixels, mean 0.5
and spread 0.1, 100,000 originals, 10 diffusion steps, n = 10 to 1,000 training images, 20 epochs at batch 128.
Made for an accelerator; see the variants for what two cores can do.

The paper leaves open, and here is chosen: images scaled to [-1, 1]; betas of the 10 steps from 0.02 to 0.9,
which leaves 0.0003 of the signal's variance at the end (the usual 1e-4..2e-2 would leave 0.9 of it); Adam at
2e-4. Twenty epochs are 20 optimiser steps at n = 10 and 160 at n = 1,000, so a larger n also means a longer
training; `:equal_steps` gives every member the same number. The paper's kernels, σ/n on 16 points (reading
"printed"), cannot tell a perfect model from a copier: figures/network.png shows every reading beside controls.

Variants: `:smoke` takes seconds; `:small` is a network of 163,985 parameters, 1,000 steps for every n;
`:equal_steps` the full network, 2,000 steps for every n.
"""

from ml_collections import ConfigDict

from memgen_jax.configs import parts


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "model": "network",
            "data": {"side": 16, "num_original": 100_000, "mean": 0.5, "std": 0.1},
            "num_train": (10, 20, 50, 100, 200, 500, 1000),
            "unet": {"width": 78, "groups": 26},
            "process": {"num_steps": 10, "beta_first": 0.02, "beta_last": 0.9},
            "epochs": 20,
            "train": {
                "num_steps": 2000,  # of `:equal_steps`; epochs decide otherwise
                "batch_size": 128,
                "learning_rate": 2e-4,
                "warmup_steps": 0,
                "ema_decay": 0.99,  # the paper's networks see at most 160 steps
                "log_every": 20,
            },
            "sampler": {"name": "ancestral", "num_steps": 10},
            "metric": {"reading": "whole"},
        }
    )
    return parts.with_variants(config, variant, VARIANTS)


def smoke(config: ConfigDict) -> None:
    config.data.update({"side": 8, "num_original": 400})
    config.num_train = (10, 40)
    config.unet.update(
        {"width": 8, "multipliers": (1, 2), "num_blocks": 1, "attention_sides": (), "groups": 8}
    )
    config.epochs = 2
    config.train.batch_size = 16
    config.sampler.update({"num_samples": 20, "chunk_size": 20})
    config.metric.num_simulations = 10


def small(config: ConfigDict) -> None:
    config.data.num_original = 10_000
    config.num_train = (10, 30, 100, 300, 1000)
    config.unet.update(
        {"width": 16, "multipliers": (1, 2), "num_blocks": 1, "attention_sides": (), "groups": 16}
    )
    config.epochs = 0
    config.train.update(
        {
            "num_steps": 1000,
            "batch_size": 32,
            "repeat_small": True,
            "learning_rate": 1e-3,
            "log_every": 100,
            "schedule": "cosine",
        }
    )
    config.sampler.update({"num_samples": 400, "chunk_size": 200})


def equal_steps(config: ConfigDict) -> None:
    config.epochs = 0


VARIANTS = {"smoke": smoke, "small": small, "equal_steps": equal_steps}
