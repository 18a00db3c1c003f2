"""Fashion-MNIST, 28×28 (Pham et al. 2025, Fig. 2 and App. D): 38 sizes K from 2 to 60,000, one U-Net of 24.5M each.

  python -m experiments.transition --config=configs/fashion_mnist.py --workdir=DIR [--config.data.data_dir=FOLDER]

Expected: the transition between A = 4,000 and B = 16,000, spurious samples where memorization falls; the paper
shows the histograms of K = 7,724. Thresholds of Table 2: L2, 4.5 to S and 2.5 within S'.
Data: `fashion_mnist` prepared by tensorflow-datasets as array_record (`data.prepare_fashion_mnist` does it
without TensorFlow), or the four original files with `--config.data.name=idx:FOLDER`; Debian's package
dataset-fashion-mnist has them in /usr/share/datasets/fashion-mnist. Hardware: GPUs or TPU chips with 9 GB each.
Cost by `--dry_run --devices=8`: 6.2e19 FLOPs, on an H200 134 device-hours (17 h on 8), 31 GB on disk; the time
assumes 13% of its peak, what CIFAR10's network reaches on one (benchmarks/README.md), and was not measured.
Variants: `:fast`, samples in 36 network calls in place of 1,000, with the labels of the probability flow;
`:small`, ten sizes at width 32, 4.0e16 FLOPs: an hour on one GPU that reaches 1.1e13 FLOP/s;
`:smoke`, half a minute to a minute and a half on one CPU core, most of it compilation.
"""

from memgen_jax.configs import paper


def get_config(variant: str = ""):
    return paper.get_config(
        variant,
        data={"name": "tfds:fashion_mnist"},
        num_train=60_000,
        item_shape=(28, 28, 1),
        ends=(4_000, 16_000),
        batch_size=128,
        num_steps=400_000,
        width=128,
        multipliers=(1, 2, 2),
        dropout=0.1,
        metric="l2",
        table="fashion_mnist",
        small_sizes=(2, 32, 128, 256, 512, 768, 1024, 1536, 2048, 4096),
    )
