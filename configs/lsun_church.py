"""LSUN-Church, 64×64 (Pham et al. 2025, Fig. 2, App. D): 38 sizes K from 2 to 126,227, one U-Net of 61.7M each.

  python -m experiments.transition --config=configs/lsun_church.py --workdir=DIR [--config.data.data_dir=FOLDER]

Expected: the transition between A = 2,000 and B = 16,000, spurious samples where memorization falls; the paper
shows the histograms of K = 4,896. Thresholds of Table 2: LPIPS (AlexNet, v0.1), 0.12 to S and 0.05 within S'.
The long version's sweep of widths: `--config.widths=(64,96,128)`.
Data: `lsun/church_outdoor` prepared by tensorflow-datasets as array_record, or a folder of images with
`--config.data.name=FOLDER`; either way the central square, brought to 64×64 once and kept.
LPIPS weights: `memgen fetch-weights`, once. Hardware: GPUs or TPU chips with 20 GB each (the control; training 17).
Cost by `--dry_run --devices=8`: 1.4e20 FLOPs, on an H200 306 device-hours (40 h on 8), 105 GB on disk; the time
assumes 13% of its peak, what CIFAR10's network reaches on one (benchmarks/README.md), and was not measured.
Variants: `:fast`, samples in 36 network calls in place of 1,000, with the labels of the probability flow;
`:small`, ten sizes at width 32, 1.6e17 FLOPs: an hour on one GPU that reaches 4.4e13 FLOP/s;
`:smoke`, half a minute to a minute and a half on one CPU core, most of it compilation.
"""

from memgen_jax.configs import paper


def get_config(variant: str = ""):
    return paper.get_config(
        variant,
        data={"name": "tfds:lsun/church_outdoor", "size": 64},
        num_train=126_227,
        item_shape=(64, 64, 3),
        ends=(2_000, 16_000),
        batch_size=64,
        num_steps=800_000,
        width=96,
        multipliers=(1, 1, 2, 2, 4, 4),
        dropout=0.0,
        metric="lpips",
        table="lsun_church",
        small_sizes=(2, 32, 64, 128, 256, 384, 512, 768, 1024, 2048),
    )
