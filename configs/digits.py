"""The transition on real handwritten digits (scikit-learn, 8×8), in minutes on a laptop's CPU.

  python -m experiments.transition --config=configs/digits.py --workdir=runs/digits

Eight sizes from K = 2 to all 1,437 training images (360 more are held out), the paper's U-Net at width 16 for each,
3,000 steps, the paper's 4K samples each between a floor of 256 and a cap of 512, DDIM in 50 steps: some minutes on two
cores. The paper's recipe in miniature; what differs from it is a setting below with its reason.

Variants: `:mlp` trains a small MLP on ten sizes instead, in three minutes; `:smoke` that one's whole path in seconds;
`:unet` the U-Net at width 32 on ten sizes, half an hour a seed on two cores; `:mlp+ve` and `:mlp+ou` noise by the other
two processes; `:mlp+capacity` trains four widths at eight sizes each and compares them by the K at which each turns
(capacity.csv).
"""

from ml_collections import ConfigDict

from memgen_jax.configs import parts


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            # One's own images: --config.data.name=PATH --config.num_train="(2,16,128)" --config.data.num_held_out=500.
            "data": {"name": "digits"},
            # --config.grid=auto --config.grid_first=4 looks for the sizes itself; --config.widths="(16,32)" is a
            # second axis.
            "num_train": (2, 8, 16, 32, 64, 128, 256, 1437),
            "model": {"name": "unet", "width": 16, "multipliers": (1, 2), "num_blocks": 1},
            # The paper's: 1,000 steps, beta from 1e-4 to 2e-2. --config.process.name=ve or ou takes another.
            "process": {"name": "ddpm"},
            "train": {
                "num_steps": 3000,
                "batch_size": 32,
                # Small sets fill the batch with repeated items: 32 rows are computed in any case.
                "repeat_small": True,
                # Velocity memorizes in fewer steps than noise prediction, the paper's choice, on these images.
                "prediction": "velocity",
                "learning_rate": 2e-3,
                "warmup_steps": 200,
                "schedule": "cosine",
                # The paper's 0.9999 would average over more than the whole run.
                "ema_decay": 0.995,
                "checkpoint_seconds": 60.0,
                "log_every": 500,
            },
            "sampler": {"name": "ddim", "num_steps": 50, "at_least": 256, "at_most": 512},
            # Thresholds from held-out images: 1% of real unseen digits would pass for copies.
            "phases": {"rule": "held_out", "false_positive_rate": 0.01},
            "control": {"run": True},
        }
    )
    return parts.with_variants(config, variant, VARIANTS)


def mlp(config: ConfigDict) -> None:
    config.num_train = (2, 8, 16, 32, 64, 96, 128, 256, 512, 1437)
    # 0.45M parameters; the time enters beside the pixels alone: a third cheaper than through every block.
    config.model = ConfigDict({"name": "mlp", "width": 256, "num_blocks": 3, "time_in_blocks": False})
    config.train.update({"num_steps": 5000, "batch_size": 128})
    config.sampler.at_most = 2048


def smoke(config: ConfigDict) -> None:
    mlp(config)
    config.num_train = (2, 16, 128)
    config.model.width = 128
    config.train.update({"num_steps": 800, "batch_size": 64, "learning_rate": 5e-3, "warmup_steps": 50})
    config.sampler.update({"num_steps": 20, "at_least": 32, "at_most": 64, "chunk_size": 32})
    config.phases.num_bootstrap = 100
    config.control.num_samples = 32


def unet(config: ConfigDict) -> None:
    config.num_train = (2, 8, 16, 32, 64, 96, 128, 256, 512, 1437)
    config.model.width = 32
    config.train.update({"num_steps": 5000, "learning_rate": 1e-3})
    config.sampler.at_most = 1024


def ou(config: ConfigDict) -> None:
    config.process = ConfigDict({"name": "ou"})
    config.sampler.spacing = "quadratic"


def ve(config: ConfigDict) -> None:
    # The noise at t = 1 must drown the images: their pixels lie up to 2 apart, and there are 64.
    config.process = ConfigDict({"name": "ve", "sigma": 10.0})
    config.train.update({"prediction": "denoised", "times": "mixed"})
    config.sampler.spacing = "quadratic"


def capacity(config: ConfigDict) -> None:
    config.widths = (32, 64, 128, 256)
    config.num_train = (2, 8, 16, 32, 64, 128, 256, 512)
    config.control.run = False


VARIANTS = {"mlp": mlp, "smoke": smoke, "unet": unet, "ve": ve, "ou": ou, "capacity": capacity}
