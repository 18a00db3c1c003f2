"""The transition of the paper's U-Net on real photographs of clothes, in under an hour on a laptop's CPU.

  python -m experiments.transition --config=configs/fashion14.py --workdir=runs/fashion14 --config.data.name=idx:FOLDER

Fashion-MNIST (60,000 images and 10,000 held out) brought to 14×14 pixels, by the recipe of `configs/digits.py`: eight
sizes from K = 2 to 1,024, one U-Net of width 16 each, 2,500 steps. FOLDER has the four original files: Debian's package
dataset-fashion-mnist puts them in /usr/share/datasets/fashion-mnist, which is where the config looks.

Variants: `:smoke` runs the whole path in a minute or two; `:wide` trains width 32 for 5,000 steps.
"""

from ml_collections import ConfigDict

from memgen_jax.configs import digits, parts


def get_config(variant: str = "") -> ConfigDict:
    config = digits.get_config()
    config.data = ConfigDict({"name": "idx:/usr/share/datasets/fashion-mnist", "size": 14})
    config.num_train = (2, 8, 16, 32, 64, 128, 256, 1024)
    config.train.num_steps = 2500
    config.sampler.num_steps = 25
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
