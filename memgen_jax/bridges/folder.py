"""What stands in a pipeline's folder, read as plain JSON: no PyTorch needed to say what is wrong with it."""

import dataclasses
import json
from typing import Any

from etils import epath

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError

PIPELINES = {
    "DDPMPipeline": ("unet", "scheduler"),
    "DDIMPipeline": ("unet", "scheduler"),
    "StableDiffusionPipeline": ("unet", "scheduler", "vae", "text_encoder", "tokenizer"),
}
"""Pipelines with an adapter → the parts that each must have."""


@dataclasses.dataclass(frozen=True)
class Folder:
    """A diffusers folder whose shape is one that we know.

    Attributes:
      path: the folder.
      kind: class name of the pipeline, one of `PIPELINES`.
      scheduler_name: class name of the scheduler.
      scheduler, unet, vae: their settings; vae is empty for pipelines in pixel space.
    """

    path: epath.Path
    kind: str
    scheduler_name: str
    scheduler: dict[str, Any]
    unet: dict[str, Any]
    vae: dict[str, Any]

    @property
    def latent(self) -> bool:
        """Whether the state is the latent of an autoencoder."""
        return bool(self.vae)


@takes_arrays
def read_folder(path: epath.PathLike) -> Folder:
    """Reads and checks the JSON files of a pipeline folder.

    Raises:
      InputError: there is no pipeline, one that we have no adapter for, or a part of it is missing.
    """
    path = epath.Path(path)
    index_file = path / "model_index.json"
    if not index_file.exists():
        raise InputError(
            f"{path} is no pipeline folder: it holds no model_index.json; "
            "give a folder written by `pipeline.save_pretrained(PATH)`."
        )
    index = _read_json(index_file)
    kind = index.get("_class_name", "")
    if not isinstance(kind, str) or kind not in PIPELINES:
        raise InputError(f"{path} holds a pipeline of class {kind!r}; supported are {', '.join(PIPELINES)}.")
    configs = {}
    for part in PIPELINES[kind]:
        if part == "tokenizer":
            continue
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        file = path / part / name
        if not file.exists():
            raise InputError(
                f"{path}: {part}/{name} is missing, which a {kind} needs; copy the whole folder."
            )
        configs[part] = _read_json(file)
        if part != "scheduler" and not any(
            file.name[0] != "." for file in (path / part).glob("*.safetensors")
        ):
            raise InputError(
                f"{path / part} holds no .safetensors weights; "
                "save the pipeline again with safe_serialization=True."
            )
    unet = configs["unet"]
    listed: Any = index.get("scheduler")
    named: Any = listed[1] if isinstance(listed, list) and len(listed) == 2 else ""
    if unet.get("in_channels") != unet.get("out_channels"):
        raise InputError(
            f"{path}: the network maps {unet.get('in_channels')} channels to {unet.get('out_channels')} "
            "(inpainting or a learned variance); supported are networks with equal numbers."
        )
    if unet.get("num_class_embeds") or unet.get("class_embed_type"):
        raise InputError(f"{path}: the network takes class labels; supported are prompts or no condition.")
    return Folder(
        path,
        kind,
        # A scheduler can be saved apart from the pipeline: its own file has the last word.
        configs["scheduler"].get("_class_name", named),
        configs["scheduler"],
        unet,
        configs.get("vae", {}),
    )


def _read_json(file: epath.Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {file}: {error}.") from None
    if not isinstance(value, dict):
        raise InputError(f"{file} holds no JSON object; copy the whole folder again.")
    return value
