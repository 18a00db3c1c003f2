"""Basins and curvature of a PyTorch pipeline on disk: Stable Diffusion v1, or a DDPMPipeline.

  python -m experiments.geometry --config=configs/geometry_pipeline.py --config.pipeline=PATH \\
      --config.prompts=prompts.txt --workdir=runs/sd_geometry

PATH is a folder written by `pipeline.save_pretrained`, prompts.txt holds `LABEL<tab>PROMPT` or `PROMPT` a
line. Without labels the samples are labelled by what they repeat: pictures of `--config.train=FOLDER`
(memorized), other samples (spurious), nothing (generalized). Needs `pip install ".[diffusers]"`.

Variant: `:smoke` draws and measures a few samples coarsely.
"""

from ml_collections import ConfigDict

from memgen_jax.configs import parts


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.pipeline = ""
    config.samples_at_once = 1
    config.sampling = ConfigDict(
        {
            "samples_per_prompt": 8,
            "guidance_scale": 7.5,
            "num_steps": 50,
            "seed": 0,
            "batch_size": 4,
            # "l2", or "lpips" (squared; the paper's thresholds: 0.03 and 0.018 CIFAR10, 0.12 and 0.05 LSUN-Church).
            "metric": "l2",
            # L2 between 512×512 RGB pictures in [-1, 1]: 0.1 and 0.15 a pixel and channel, root mean square.
            "delta_m": 88.7,
            "delta_s": 133.0,
        }
    )
    config.select = ConfigDict({"per_phase": 8, "order": "random", "phases": (), "num_train": (), "width": 0})
    config.basins = ConfigDict(
        {
            "metric": "lpips",
            # The long version's own threshold is not public; 0.1 and 0.05 (with VGG) are in use elsewhere.
            "delta": 0.1,
            "levels": 20,
            "copies": 10,
            "num_steps": 20,
            "required": 0.9,
            "levels_at_once": 1,
        }
    )
    config.curvature = ConfigDict(
        {
            "times": (0.05, 0.02, 0.1),
            "near_zero": 0.1,
            # Latents of 4×64×64 are beyond it: matrix-free.
            "full_up_to": 3072,
            "memory_megabytes": 4096,
            "rank": 32,
            "iterations": 4,
            "columns_at_once": 4,
            "probes": 32,
            "draws": 4,
        }
    )
    config.energy_gap = ConfigDict({"time": 0.1, "references": 4, "points": 33})
    return parts.with_variants(config, variant, VARIANTS)


def smoke(config: ConfigDict) -> None:
    config.sampling.update({"samples_per_prompt": 3, "num_steps": 5, "delta_m": 2.0, "delta_s": 3.0})
    config.select.per_phase = 2
    config.basins.update({"metric": "l2", "delta": 5.0, "levels": 4, "copies": 3, "num_steps": 4})
    config.curvature.update(
        {"times": (0.05,), "rank": 6, "columns_at_once": 64, "iterations": 3, "probes": 4, "draws": 2}
    )
    config.energy_gap.update({"references": 2, "points": 9})
    config.resamples = 199


VARIANTS = {"smoke": smoke}
