"""CelebA-HQ, 64×64 (the long version of Pham et al. 2025): a U-Net of base width 64.

  python -m experiments.transition --config=configs/celeba_hq64.py --workdir=DIR [--config.data.data_dir=FOLDER]

Known of the long version are the data set, its size in pixels and the width. Everything else is our reading:
the network and training of LSUN-Church, A and B from the run's own coarse search (`grid = "auto"`), thresholds at
the valley of the histograms of LPIPS, 1,000 of the 30,000 images held out.
Data: `celeb_a_hq/64` prepared by tensorflow-datasets as array_record, or a folder of images with
`--config.data.name=FOLDER`. LPIPS weights: `memgen fetch-weights`, once. Hardware: GPUs or TPU chips with 10 GB each.
Cost by `--dry_run --devices=8`: 6.1e19 FLOPs, on an H200 132 device-hours (18 h on 8), 56 GB on disk; the time
assumes 13% of its peak, what CIFAR10's network reaches on one (benchmarks/README.md), and was not measured.
Variants: `:fast`, samples in 36 network calls in place of 1,000, with the labels of the probability flow;
`:small`, ten sizes at width 32, 1.6e17 FLOPs: an hour on one GPU that reaches 4.4e13 FLOP/s;
`:smoke`, half a minute to a minute and a half on one CPU core, most of it compilation.
"""

from memgen_jax.configs import paper


def get_config(variant: str = ""):
    config = paper.get_config(
        variant,
        data={"name": "tfds:celeb_a_hq/64", "size": 64, "num_held_out": 1_000},
        num_train=29_000,
        item_shape=(64, 64, 3),
        ends=(
            2_000,
            16_000,
        ),  # LSUN-Church's: what the dry run counts with before the search has found others
        batch_size=64,
        num_steps=800_000,
        width=64,
        multipliers=(1, 1, 2, 2, 4, 4),
        dropout=0.0,
        metric="lpips",
        table="",
        small_sizes=(2, 32, 64, 128, 256, 384, 512, 768, 1024, 2048),
    )
    chosen = variant.split("+")
    if "small" not in chosen and "smoke" not in chosen:
        config.grid = "auto"
    if "smoke" in chosen:
        config.data.num_held_out = 16
    return config
