"""When does the generated density come closer to the truth than to the training set? (Onset 2024)

  configs/linear.py   the linear denoiser in closed form: Figs. 2 and 3
  configs/onset_unet.py     a U-Net on Gaussian pixels: Fig. 4

Both write onset.csv, onset.json and figures/ in the workdir; the same command continues an interrupted run.
"""

from ml_collections import ConfigDict

from memgen_jax.errors import InputError
from memgen_jax.programs import launcher
from memgen_jax.programs.onset import linear, network


def main(config: ConfigDict, workdir_path: str) -> None:
    programs = {"linear": linear.main, "network": network.main}
    name = config.get("model", None)
    if name not in programs:
        raise InputError(f"model={name!r} is not one of {', '.join(programs)}; take configs/linear.py.")
    programs[name](config, workdir_path)


def run() -> None:
    """Runs the program with the flags of the command line."""
    launcher.enter(main)
