"""When does the generated density come closer to the truth than to the training set? (Onset 2024)

  configs/onset_linear.py   the linear denoiser in closed form: Figs. 2 and 3
  configs/onset_unet.py     a U-Net on Gaussian pixels: Fig. 4

Both write onset.csv, onset.json, figures/ and report.html in the workdir; the same command continues an interrupted
run.
"""

from ml_collections import ConfigDict

from memgen_jax.errors import InputError
from memgen_jax.programs import launcher
from memgen_jax.programs.launcher import FROM_PYTHON, Invocation
from memgen_jax.programs.onset import linear, network
from memgen_jax.programs.precision import products
from memgen_jax.programs.settings import settings_from

PARTS = {"linear": linear, "network": network}


def part_of(config: ConfigDict):
    """The module that the config's `model` names."""
    name = config.get("model", None)
    if not isinstance(name, str) or name not in PARTS:  # other programs have settings of a network there
        raise InputError.setting("model", name, f"one of {', '.join(PARTS)}; take the config onset_linear")
    return PARTS[name]


def main(config: ConfigDict, workdir_path: str, invocation: Invocation = FROM_PYTHON) -> None:
    part = part_of(config)
    with products(settings_from(part.SETTINGS, config).matmul_precision):
        part.main(config, workdir_path, invocation)


PROGRAM = launcher.Program(
    "onset",
    main,
    settings=lambda config: part_of(config).SETTINGS,
    summary="Finds the training-set size at which the generated density comes closer to the "
    "truth than to the training set.",
    example="onset_linear",
)
