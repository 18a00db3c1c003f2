"""Samples that you already have: networks that were trained elsewhere, one for each training-set size K.

  memgen transition --config=own_sets --config.sets=FOLDER --config.data.name=ITEMS --config.data.order=given \
      --config.held_out=UNSEEN --workdir=DIR

FOLDER has a folder of images, an .npz or an .npy file for each K, with K in its name (K=512.npz, num_train=000512,
cifar10_512). ITEMS are the training items in the order in which prefixes of K were taken; without data.order=given
they are prefixes of this project's own permutation. Training sets that are no prefixes: --config.train_sets=FOLDER in
place of ITEMS, again one for each K. UNSEEN are real items that no network has seen: they set the thresholds.
Nothing is trained. PyTorch's floats [n, channel, height, width] are taken as they are.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "data": {"name": ""},
            "sets": "",
            "train_sets": "",
            "held_out": "",
            # No network of ours; the exact score takes part where control.run asks for it.
            "model": {"name": "exact"},
            "train": {"num_steps": 1, "batch_size": 1},
            "sampler": {"name": "ddim", "num_steps": 50},
            "control": {"run": False},
            "phases": {"rule": "held_out"},
        }
    )
