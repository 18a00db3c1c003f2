"""The transition on your own data: sizes, network and thresholds follow from the data, in minutes on two cores.

  memgen transition --config=own:grey --config.data.name=PATH --workdir=runs/mine        own:colour, own:vectors
  python -m experiments.transition --config=configs/own.py:grey --config.data.name=PATH --workdir=runs/mine

PATH is a folder of images, an .npz or .npy file, or any other source of `data.name`. The rule, which looks at the
shape, the number and the spread of the items; what it chose is printed before training and kept in config.json:

- Images of more than 16 pixels a side are brought to 16×16, the central square; grey or in colour as the variant
  says, and without a variant as they are. Vectors are centred and divided by their standard deviation, one number
  for all coordinates, so that noise of size one drowns them.
- A fifth of the items is held out, at most 500, where the source has none of its own.
- Six sizes K, even in log K, from 2 to all that is there, at most 2,048.
- An MLP of width 256 for items of up to 1,024 numbers, 512 above, which predicts the clean item in 2,000 steps; of
  width 128 for items of up to 16 numbers, which takes 8,000 steps and is sampled in 30 quadratic ones.
- Thresholds that 1% of the held-out items pass; 2, 5 or 10% where fewer than 99, 49 or 19 are held out, and 10% for
  items of up to 4 numbers: among many points of a plane the nearest is often nearer than a network is exact.

Whatever is given on the command line wins: --config.num_train="(4,16,64)", --config.data.size=28. In the same
workdir what was chosen stays, and the run grows as any other.
"""

from ml_collections import ConfigDict

from memgen_jax.configs import parts


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "choose": "images",
            "data": {"name": ""},
            # The time enters beside the pixels alone: a third cheaper than through every block.
            "model": {"name": "mlp", "num_blocks": 3, "time_in_blocks": False},
            "train": {
                "num_steps": 2000,
                "batch_size": 64,
                # Small sets fill the batch with repeated items: 64 rows are computed in any case.
                "repeat_small": True,
                # The noise need not pass through the network, which may be narrower than the items are long.
                "prediction": "denoised",
                "learning_rate": 2e-3,
                "warmup_steps": 200,
                "schedule": "cosine",
                # The paper's 0.9999 would average over more than the whole run.
                "ema_decay": 0.995,
                "checkpoint_seconds": 60.0,
                "log_every": 500,
            },
            "sampler": {"name": "ddim", "num_steps": 50, "at_least": 256, "at_most": 512},
            "phases": {"rule": "held_out"},
            "control": {"run": True},
        }
    )
    return parts.with_variants(config, variant, VARIANTS)


def grey(config: ConfigDict) -> None:
    config.choose = "grey"
    config.data.channels = 1


def colour(config: ConfigDict) -> None:
    config.choose = "colour"
    config.data.channels = 3


def vectors(config: ConfigDict) -> None:
    config.choose = "vectors"
    config.model.time_in_blocks = True


def smoke(config: ConfigDict) -> None:
    config.train.update({"num_steps": 300, "warmup_steps": 30, "batch_size": 32})
    config.sampler.update({"num_steps": 10, "at_least": 32, "at_most": 32, "chunk_size": 32})
    config.phases.num_bootstrap = 50
    config.control.num_samples = 32


VARIANTS = {"grey": grey, "colour": colour, "vectors": vectors, "smoke": smoke}
