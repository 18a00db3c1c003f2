"""What the paper's studies have in common (Pham et al. 2025, App. D); each data set's file gives the rest.

Every number that the paper states is in `get_config` below or in the call of it. Where the paper is silent, its
authors' released code speaks (Lemon-cmd/Diffusion-Models-and-Associative-Memory, "their code" below): the sampler,
which the paper does not name, is DDPMScheduler of diffusers as it comes, and the learning rate is constant from the
first step. Where both are silent, the reading taken is marked.
A config that calls this has the variants `:small`, `:smoke` and `:fast` beside the paper. `:smoke` asks nothing of the
data, so that any images will do: `--config.data.name=FOLDER --config.data.size=32`.
"""

import math

from ml_collections import ConfigDict

from memgen_jax.configs import parts


def get_config(
    variant: str,
    *,
    data: dict,
    num_train: int,
    item_shape: tuple[int, int, int],
    ends: tuple[int, int],
    batch_size: int,
    num_steps: int,
    width: int,
    multipliers: tuple[int, ...],
    dropout: float,
    metric: str,
    table: str,
    small_sizes: tuple[int, ...],
) -> ConfigDict:
    """The study of one data set.

    Args:
      data: arguments of `data.load`.
      num_train, item_shape: what the data set must turn out to be; the dry run counts with them.
      ends: A and B of the grid of K.
      batch_size, num_steps, width, multipliers, dropout: of Tables 1-3.
      metric, table: the distance, and whose thresholds of Table 2 count; "" takes the valley rule.
      small_sizes: the sizes K of `:small`.
    """
    config = ConfigDict(
        {
            "data": data,
            "expect": {"num_train": num_train, "item_shape": item_shape},
            # 38 sizes: linspace(2, A, 5), linspace(A, B, 30), linspace(B, total, 5).
            "grid": "paper",
            "grid_ends": ends,
            # float32 with the device's own products (TF32 on an A100, which their code allows too); "bfloat16" is
            # about twice as fast on accelerators.
            "model": {
                "name": "unet",
                "width": width,
                "multipliers": multipliers,
                "num_blocks": 2,
                "attention_sides": (16,),
                "dropout": dropout,
                # Their code's, after Song et al. 2021; Ho et al. 2020 have 1.
                "nin_scale": 0.1,
            },
            # 1,000 steps, beta from 1e-4 to 2e-2.
            "process": {"name": "ddpm"},
            "train": {
                "num_steps": num_steps,
                "batch_size": batch_size,
                "repeat_small": False,  # the batch of a small set is the set
                "prediction": "noise",
                "learning_rate": 2e-4,
                # Their code: no warm-up, of the rate (Ho et al. 2020: 5,000 steps) nor of the average.
                "warmup_steps": 0,
                "schedule": "constant",
                "grad_clip": 1.0,
                "ema_decay": 0.9999,
                "ema_warmup": False,
                "checkpoint_seconds": 600.0,
            },
            # Their code: all 1,000 steps of DDPMScheduler with its defaults, which are Ho et al.'s sampler with the
            # posterior variance ("fixed_small") and the predicted image clipped to [-1, 1].
            "sampler": {
                "name": "ancestral",
                "num_steps": 1000,
                "variance": "posterior",
                "clip": True,
                "per_train": 4,
            },
            "phases": {"metric": metric, "rule": "paper" if table else "valley", "table": table},
            "control": {"run": True, "num_samples": 256},
        }
    )
    variants = {
        "fast": _make_fast,
        "small": lambda config: _make_small(config, small_sizes),
        "smoke": lambda config: _make_smoke(config, item_shape),
    }
    return parts.with_variants(config, variant, variants)


def _make_fast(config: ConfigDict) -> None:
    """Draws the samples in 36 network calls in place of 1,000: 18 steps of Heun's method on the Karras grid.

    On the networks of digits these are the fewest calls after which the labels no longer change
    (docs/samplers.md). They are the labels of the probability flow: the paper's ancestral sampler finds more
    memorized and more repeated samples in the same networks, so compare a `:fast` run with `:fast` runs.
    """
    config.sampler.update({"name": "heun", "num_steps": 18, "spacing": "karras"})


def _make_small(config: ConfigDict, sizes: tuple[int, ...]) -> None:
    """Ten sizes around where the transition falls with this little training, for one GPU."""
    config.grid = "given"
    config.num_train = sizes
    config.model.update({"width": 32, "dtype": "bfloat16"})
    # Learning an item takes steps in proportion to K: with a twentieth of the paper's steps and a narrower
    # network the transition falls at sizes about twenty times smaller. The average over the weights is
    # shortened with the run.
    config.train.update(
        {
            "num_steps": 20_000,
            "batch_size": 128,
            "repeat_small": True,
            "learning_rate": 1e-3,
            "warmup_steps": 500,
            "schedule": "cosine",
            "ema_decay": 0.999,
            "ema_warmup": True,
            "num_snapshots": 6,
        }
    )
    config.sampler.update({"name": "ddim", "num_steps": 50, "at_least": 512, "at_most": 4096})
    # Thresholds by eye on the paper's full runs need not fit a shorter one: the valley is looked for.
    config.phases.rule = "valley"


def _make_smoke(config: ConfigDict, item_shape: tuple[int, int, int]) -> None:
    """The whole path on the real images, in seconds: it shows that everything is in place, nothing else."""
    config.expect.strict = False  # only the dry run counts with it
    config.grid = "given"
    config.num_train = (2, 8, 32)
    config.model.update({"width": 8, "multipliers": (1, 2), "num_blocks": 1, "attention_sides": ()})
    config.train.update(
        {
            "num_steps": 20,
            "batch_size": 8,
            "learning_rate": 1e-3,
            "warmup_steps": 5,
            "ema_decay": 0.9,
            "ema_warmup": True,
            "log_every": 10,
        }
    )
    config.sampler.update({"name": "ddim", "num_steps": 5, "at_least": 16, "at_most": 32, "chunk_size": 16})
    # L2 with thresholds scaled from MNIST's, so that no LPIPS weights are needed.
    side = math.sqrt(math.prod(item_shape) / 784)
    config.phases.update({"metric": "l2", "rule": "given", "delta_m": 4.5 * side, "delta_s": 2.5 * side})
    config.phases.num_bootstrap = 20
    config.control.num_samples = 16
    config.onset_items = 256
