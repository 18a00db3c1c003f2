"""The transition on real handwritten digits (scikit-learn, 8×8), in minutes on a laptop's CPU.

  python -m experiments.transition --config=configs/digits.py --workdir=runs/digits

Ten sizes from K = 2 to all 1,437 training images (360 more are held out), one MLP of 0.45M parameters each,
5,000 steps, 4K samples each (at least 256, at most 2,048), DDIM in 50 steps: under 8 minutes on two cores.
The paper's recipe in miniature; what differs from it is a setting below with its reason.

Variants: `:smoke` runs the whole path in seconds; `:unet` trains the paper's U-Net at width 32 instead (hours on
two cores); `:ve` and `:ou` noise by the other two processes; `:capacity` trains four widths at eight sizes each and
compares them by the K at which each turns (capacity.csv).
"""

from ml_collections import ConfigDict, config_dict


def unset(kind: type):
    """A setting at the default of whatever it belongs to, for the command line: --config.model.dropout=0.1."""
    return config_dict.placeholder(kind)


def unet_settings() -> dict:
    return {
        "multipliers": unset(tuple),
        "attention_sides": unset(tuple),
        "dropout": unset(float),
        "groups": unset(int),
        "dtype": unset(str),
    }


def process_settings() -> ConfigDict:
    """DDPM at its defaults, so that another process can be named alone: --config.process.name=ve."""
    return ConfigDict(
        {
            "name": "ddpm",
            "num_steps": unset(int),
            "beta_first": unset(float),
            "beta_last": unset(float),
            "sigma": unset(float),
            "t_min": unset(float),
            "t_max": unset(float),
        }
    )


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    # One's own images: --config.data.name=PATH --config.num_train="(2,16,128)" --config.data.num_held_out=500.
    config.data = ConfigDict(
        {
            "name": "digits",
            "data_dir": unset(str),
            "size": unset(int),
            "channels": unset(int),
            "num_held_out": 0,
            "skip_bad": False,
        }
    )
    config.num_train = (2, 8, 16, 32, 64, 96, 128, 256, 512, 1437)
    # --config.grid=auto --config.grid_first=4 looks for the sizes itself; --config.widths="(32,64)" is a second axis.
    config.grid = unset(str)
    config.grid_ends = unset(tuple)
    config.grid_first = unset(int)
    config.widths = unset(tuple)
    config.seeds = (0,)
    config.shard = "0/1"

    config.model = ConfigDict(
        {
            "name": "mlp",
            "width": 256,
            "num_blocks": 3,
            # The time enters beside the pixels alone: a third cheaper than through every block.
            "time_in_blocks": False,
            "time_features": unset(str),
            "num_features": unset(int),
        }
        | unet_settings()
    )
    # The paper's schedule: 1,000 steps, beta from 1e-4 to 2e-2. --config.process.name=ve or ou takes another.
    config.process = process_settings()
    config.train = ConfigDict(
        {
            "num_steps": 5000,
            "batch_size": 128,
            # Small sets fill the batch with repeated items: 128 rows are computed in any case.
            "repeat_small": True,
            # Velocity memorizes in fewer steps than noise prediction, the paper's choice, on these images.
            "prediction": "velocity",
            "times": "uniform",
            "learning_rate": 2e-3,
            "warmup_steps": 200,
            "schedule": "cosine",
            "grad_clip": 1.0,
            # The paper's 0.9999 would average over more than the whole run.
            "ema_decay": 0.995,
            "members_per_step": 1,
            "steps_per_call": 0,
            "data_parallel": 1,
            "checkpoint_seconds": 60.0,
            "log_every": 500,
            # Earlier networks to keep for fractions against steps; 0 keeps the last alone.
            "num_snapshots": 0,
        }
    )
    config.sampler = ConfigDict(
        {
            "name": "ddim",
            "num_steps": 50,
            "eta": 0.0,
            "variance": "posterior",
            "spacing": "uniform",
            "clip": True,
            "per_train": 4,
            "at_least": 256,
            "at_most": 2048,
            "chunk_size": 256,
            "steps_per_call": 0,
        }
    )
    # Thresholds from held-out images: 1% of real unseen digits would pass for copies.
    config.phases = ConfigDict(
        {
            "metric": "l2",
            "rule": "held_out",
            "table": "",
            "delta_m": 0.0,
            "delta_s": 0.0,
            "false_positive_rate": 0.01,
            "num_bootstrap": 1000,
        }
    )
    config.control = ConfigDict({"run": True, "num_samples": 256})

    if variant == "smoke":
        config.num_train = (2, 16, 128)
        config.model.width = 128
        config.train.update({"num_steps": 800, "learning_rate": 5e-3, "warmup_steps": 50})
        config.sampler.update({"num_steps": 20, "at_least": 32, "at_most": 64, "chunk_size": 32})
        config.phases.num_bootstrap = 100
        config.control.num_samples = 32
    elif variant == "unet":
        config.model = ConfigDict({"name": "unet", "width": 32, "num_blocks": 1} | unet_settings())
        config.model.multipliers = (1, 2)
        config.train.learning_rate = 1e-3
    elif variant == "ou":
        config.process.name = "ou"
        config.sampler.spacing = "quadratic"
    elif variant == "ve":
        # The noise at t = 1 must drown the images: their pixels lie up to 2 apart, and there are 64.
        config.process.update({"name": "ve", "sigma": 10.0})
        config.train.update({"prediction": "denoised", "times": "mixed"})
        config.sampler.spacing = "quadratic"
    elif variant == "capacity":
        config.widths = (32, 64, 128, 256)
        config.num_train = (2, 8, 16, 32, 64, 128, 256, 512)
        config.control.run = False
    elif variant:
        raise ValueError(
            f"configs/digits.py has no variant {variant!r}; there are smoke, unet, ve, ou and capacity."
        )
    return config
