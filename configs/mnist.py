"""MNIST, 28×28 (Pham et al. 2025, Fig. 2 and App. D): 38 sizes K from 2 to 60,000, one U-Net of 24.5M each.

  python -m experiments.transition --config=configs/mnist.py --workdir=DIR [--config.data.data_dir=FOLDER]

Expected: the transition between A = 4,000 and B = 32,000, spurious samples where memorization falls; the paper
shows the histograms of K = 21,379. Thresholds of Table 2: L2, 4.5 to S and 3.5 within S'.
Data: `mnist` prepared by tensorflow-datasets as array_record, or the four original files with
`--config.data.name=idx:FOLDER`. Hardware: GPUs or TPU chips with 9 GB each.
Cost by `--dry_run --devices=8`: 7.1e19 FLOPs, on an H200 153 device-hours (20 h on 8), 32 GB on disk; the time
assumes 13% of its peak, what CIFAR10's network reaches on one (benchmarks/README.md), and was not measured.
Variants: `:fast`, samples in 36 network calls in place of 1,000, with the labels of the probability flow;
`:small`, ten sizes at width 32, 4.0e16 FLOPs: an hour on one GPU that reaches 1.1e13 FLOP/s;
`:smoke`, half a minute to a minute and a half on one CPU core, most of it compilation.
"""

from memgen_jax.configs import paper


def get_config(variant: str = ""):
    return paper.get_config(
        variant,
        data={"name": "tfds:mnist"},
        num_train=60_000,
        item_shape=(28, 28, 1),
        ends=(4_000, 32_000),
        batch_size=128,
        num_steps=400_000,
        width=128,
        multipliers=(1, 2, 2),
        dropout=0.1,
        metric="l2",
        table="mnist",
        small_sizes=(2, 32, 128, 256, 512, 1024, 1536, 2048, 4096, 8192),
    )
