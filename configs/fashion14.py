"""The transition of the paper's U-Net on real photographs of clothes, in an hour or two on a laptop's CPU.

  python -m experiments.transition --config=configs/fashion14.py --workdir=runs/fashion14 --config.data.name=idx:FOLDER

Fashion-MNIST (60,000 images and 10,000 held out) brought to 14×14 pixels; eight sizes from K = 2 to 1,024, one U-Net of
width 16 each, 2,500 steps. FOLDER has the four original files: Debian's package dataset-fashion-mnist puts them in
/usr/share/datasets/fashion-mnist, which is where the config looks.

Variants: `:smoke` runs the whole path in a minute; `:wide` trains width 32 for 5,000 steps, five times as long.
"""

from ml_collections import ConfigDict

from memgen_jax.configs import parts


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "data": {"name": "idx:/usr/share/datasets/fashion-mnist", "size": 14},
            "num_train": (2, 8, 16, 32, 64, 128, 256, 1024),
            "model": {"name": "unet", "width": 16, "multipliers": (1, 2), "num_blocks": 1},
            # The paper's: 1,000 steps, beta from 1e-4 to 2e-2.
            "process": {"name": "ddpm"},
            "train": {
                "num_steps": 2500,
                "batch_size": 32,
                "repeat_small": True,
                # Velocity memorizes in fewer steps than noise prediction, the paper's choice.
                "prediction": "velocity",
                "learning_rate": 2e-3,
                "warmup_steps": 200,
                "schedule": "cosine",
                # The paper's 0.9999 would average over more than the whole run.
                "ema_decay": 0.995,
                "checkpoint_seconds": 60.0,
                "log_every": 500,
            },
            "sampler": {"name": "ddim", "num_steps": 25, "at_least": 256, "at_most": 512},
            # Thresholds from held-out images: 1% of real unseen images would pass for copies.
            "phases": {"rule": "held_out", "false_positive_rate": 0.01},
            "control": {"run": True},
        }
    )
    return parts.with_variants(config, variant, VARIANTS)


def smoke(config: ConfigDict) -> None:
    config.num_train = (2, 16, 128)
    config.model.width = 8
    config.train.update({"num_steps": 40, "warmup_steps": 5})
    config.sampler.update({"num_steps": 5, "at_least": 16, "at_most": 32, "chunk_size": 16})
    config.phases.num_bootstrap = 50
    config.control.num_samples = 16
    config.onset_items = 256


def wide(config: ConfigDict) -> None:
    config.model.width = 32
    config.train.update({"num_steps": 5000, "learning_rate": 1e-3})


VARIANTS = {"smoke": smoke, "wide": wide}
