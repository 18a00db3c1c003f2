"""CIFAR10, 32×32 (Pham et al. 2025, Figs. 2 and 4, App. D): 38 sizes K from 2 to 50,000, one U-Net of 35.7M each.

  python -m experiments.transition --config=configs/cifar10.py --workdir=DIR [--config.data.data_dir=FOLDER]

Expected: the transition between A = 2,000 and B = 16,000, spurious samples where memorization falls; the paper
shows K = 3,931 and the histograms of K = 7,310. Thresholds of Table 2: LPIPS (AlexNet, v0.1), 0.03 to S and 0.018
within S'. The long version's sweep of widths: `--config.widths=(64,96,128)`.
Data: `cifar10` prepared by tensorflow-datasets as array_record. LPIPS weights: `memgen fetch-weights`, once.
Hardware: GPUs or TPU chips with 14 GB each.
Cost by `--dry_run --devices=8`: 1.0e20 FLOPs, on an H200 225 device-hours (29 h on 8), 49 GB on disk; the time
assumes 13% of its peak, as one H200 reaches here: 28.8 steps/s in float32, 51.6 in bfloat16 (benchmarks/README.md).
Variants: `:fast`, samples in 36 network calls in place of 1,000, with the labels of the probability flow;
`:small`, ten sizes at width 32, 6.4e16 FLOPs: an hour on one GPU that reaches 1.8e13 FLOP/s;
`:smoke`, half a minute to a minute and a half on one CPU core, most of it compilation.
"""

from memgen_jax.configs import paper


def get_config(variant: str = ""):
    return paper.get_config(
        variant,
        data={"name": "tfds:cifar10"},
        num_train=50_000,
        item_shape=(32, 32, 3),
        ends=(2_000, 16_000),
        batch_size=128,
        num_steps=500_000,
        width=128,
        multipliers=(1, 2, 2, 2),
        dropout=0.1,
        metric="lpips",
        table="cifar10",
        small_sizes=(2, 32, 128, 256, 512, 768, 1024, 1536, 2048, 4096),
    )
