"""A PyTorch pipeline as JAX: parameters as a pytree, network and decoder as pure functions.

PyTorch builds the modules and reads the weights; `torchax` then runs their Python with JAX arrays inside,
so jit, vmap, jvp and vjp go through. Arrays keep PyTorch's order, [channel, height, width]; decoded images
are [height, width, channel] like everywhere else. Prompts are encoded once, by PyTorch itself. Always call
the functions under `jax.jit`: one by one, their operations are some hundred times slower.
"""

import dataclasses
import functools
import importlib
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Array, Float

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.bridges.folder import Folder, read_folder
from memgen_jax.bridges.schedule import clip_limit, prediction_of, process_of
from memgen_jax.data.items import first_line
from memgen_jax.diffusion import Denoiser, Process, clipped, denoiser_from_network
from memgen_jax.errors import InputError

INSTALL = 'pip install ".[diffusers]" in a checkout'
# 0.0.13, the newest stable one of today, does not import on that PyTorch; builds before a release may vanish.
INSTALL_TORCHAX = f"{INSTALL}, or where that build is gone a newer one, pip install --upgrade --pre torchax"

Params = dict[str, dict[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """A pipeline's parts as functions of JAX arrays.

    Attributes:
      folder: where it came from, and its settings.
      params: {"unet": ..., "decoder": ...}, float32 on the default device; pass it as an argument of what
        you jit.
      process: how its samples are noised. For Stable Diffusion the samples are latents.
      prediction: what the network predicts, see `Process.denoised_from_output`.
      item_shape: of one sample, (channel, height, width).
      unet: (params["unet"], x [batch, *item], timestep [batch], context or None) -> [batch, *item].
      decoder: (params["decoder"], x [batch, *item]) -> images in [-1, 1], [batch, channel, height, width].
      embed: prompts -> contexts [prompt, token, feature]; None for a pipeline without prompts.
    """

    folder: Folder
    params: Params
    process: Process
    prediction: str
    item_shape: tuple[int, ...]
    unet: Callable[..., jax.Array]
    decoder: Callable[..., jax.Array]
    embed: Callable[[Sequence[str]], Float[np.ndarray, "prompt token feature"]] | None

    def check_prompts(self, prompts: Sequence[str], flag: str) -> None:
        """Refuses prompts for a pipeline that takes none, and their absence where they are needed.

        Args:
          flag: what the user names the file of prompts with.
        """
        what = f"{self.folder.path} is a {self.folder.kind}"
        if self.embed is None and prompts:
            raise InputError(f"{what}, which takes no prompts: leave {flag} out.")
        if self.embed is not None and not prompts:
            raise InputError(f"{what}: name a text file of prompts, one a line, with {flag}=FILE.")

    def contexts(self, prompts: Sequence[str]) -> Float[np.ndarray, "prompt 2 token feature"]:
        """Conditions of the denoiser: per prompt the empty one's embedding, then its own."""
        assert self.embed is not None, "a pipeline without prompts has no contexts: see check_prompts"
        empty, *own = self.embed(["", *prompts])
        return np.stack([np.stack([empty, context]) for context in own])

    def denoiser(
        self,
        params: Params,
        context: Float[Array, "2 token feature"] | None = None,
        guidance_scale: float = 1.0,
    ) -> Denoiser:
        """E[x_0 | x_t] for one item, as the pipeline's network sees it.

        Args:
          params: `Pipeline.params` or a traced copy.
          context: one row of `contexts`; None for a pipeline without prompts.
          guidance_scale: w of classifier-free guidance, empty + w (own - empty) on the network's output
            (Ho & Salimans 2022); 1 is the conditional model alone.
        """

        def network(x: jax.Array, t: jax.Array) -> jax.Array:
            timestep = t - 1.0  # their timestep 0 is our t = 1
            if context is None:
                return self.unet(params["unet"], x[None], timestep[None], None)[0]
            if guidance_scale == 1:
                return self.unet(params["unet"], x[None], timestep[None], context[1:])[0]
            both = jnp.stack([x, x])
            empty, own = self.unet(params["unet"], both, jnp.stack([timestep, timestep]), context)
            return empty + guidance_scale * (own - empty)

        return denoiser_from_network(network, self.process, self.prediction)

    def in_range(self, denoiser: Denoiser) -> Denoiser:
        """Clips the answer as the scheduler does; latents have no range and are left, as their pipeline leaves them."""
        limit = None if self.folder.latent else clip_limit(self.folder.scheduler_name, self.folder.scheduler)
        return denoiser if limit is None else clipped(denoiser, -limit, limit)

    def decode(self, params: Params, x: Float[Array, "*item"]) -> Float[Array, "height width channel"]:
        """The picture of one item, in [-1, 1]."""
        image = self.decoder(params["decoder"], x[None])[0]
        return jnp.clip(jnp.moveaxis(image, 0, -1), -1.0, 1.0)


@takes_arrays
def load(path: epath.PathLike) -> Pipeline:
    """Loads a diffusers folder from disk; nothing is downloaded.

    Raises:
      InputError: no supported pipeline is there (named), or the extra packages are not installed.
    """
    folder = read_folder(path)
    process = process_of(folder.scheduler_name, folder.scheduler)
    prediction = prediction_of(folder.scheduler)
    diffusers = _import_extra()

    def module(kind: Any, part: str) -> Any:
        loaded = kind.from_pretrained(
            os.fspath(folder.path),
            subfolder=part,
            local_files_only=True,
            use_safetensors=True,
            low_cpu_mem_usage=False,  # else a further package is asked for
        )
        return loaded.eval().requires_grad_(False).float()

    if not folder.latent:
        unet_params, unet = _as_jax(module(diffusers.UNet2DModel, "unet"))
        return Pipeline(
            folder,
            {"unet": unet_params, "decoder": {}},
            process,
            prediction,
            _item_shape(folder),
            lambda params, x, timestep, _: unet(params, (x, timestep), {"return_dict": False})[0],
            lambda params, x: x,
            None,
        )
    unet_params, unet = _as_jax(module(diffusers.UNet2DConditionModel, "unet"))
    decoder_params, decoder = _as_jax(_Decoder(module(diffusers.AutoencoderKL, "vae")))
    return Pipeline(
        folder,
        {"unet": unet_params, "decoder": decoder_params},
        process,
        prediction,
        _item_shape(folder),
        lambda params, x, timestep, context: unet(params, (x, timestep, context), {"return_dict": False})[0],
        lambda params, x: decoder(params, (x,)),
        functools.partial(_embed, os.fspath(folder.path)),
    )


def _import_extra() -> Any:
    for name in ("diffusers", "torch", "transformers", "torchax"):
        install = INSTALL_TORCHAX if name == "torchax" else INSTALL
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise InputError(
                f"reading a PyTorch pipeline needs the package {error.name or name}: install it with {install}."
            ) from None
        except Exception as error:  # torchax follows torch's innards: a release apart, it fails as it may
            raise InputError(
                f"the installed {name} does not import ({type(error).__name__}: {first_line(error)}); the releases "
                f"that fit together come with {install}."
            ) from error
    return importlib.import_module("diffusers")


def _item_shape(folder: Folder) -> tuple[int, ...]:
    side = folder.unet["sample_size"]
    if not isinstance(side, (int, list)):
        raise InputError(f"{folder.path}: unet/config.json gives no sample_size, so the shape is unknown.")
    sides = (side, side) if isinstance(side, int) else tuple(side)
    return (folder.unet["in_channels"], *sides)


def _as_jax(module: Any) -> tuple[dict[str, jax.Array], Callable]:
    """A torch module as (its tensors, function of (tensors, arguments, keyword arguments))."""
    import torchax

    tensors, function = torchax.extract_jax(module)

    def call(params: dict[str, jax.Array], args: tuple, kwargs: dict | None = None) -> Any:
        # PyTorch promotes and broadcasts freely and asks for 64-bit indices; the caller's stricter rules,
        # and JAX's warning that it takes 32 bits, are not about this code.
        with (
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", "Explicitly requested dtype int64")
            return function(params, args, kwargs)

    return tensors, call


def _embed(path: str, prompts: Sequence[str]) -> Float[np.ndarray, "prompt token feature"]:
    """The text encoder's last hidden state per prompt, padded and cut as the pipeline does."""
    import torch
    import transformers

    tokenizer = transformers.CLIPTokenizer.from_pretrained(path, subfolder="tokenizer", local_files_only=True)
    encoder = transformers.CLIPTextModel.from_pretrained(
        path, subfolder="text_encoder", local_files_only=True, use_safetensors=True
    )
    tokens = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        return encoder.eval().float()(tokens.input_ids)[0].numpy()


def _Decoder(vae: Any) -> Any:
    """A module that undoes the latent's scaling and decodes it."""
    import torch

    class Decoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.vae = vae
            self.scale = float(vae.config.scaling_factor)
            self.shift = float(getattr(vae.config, "shift_factor", None) or 0.0)

        def forward(self, latent):
            return self.vae.decode(latent / self.scale + self.shift, return_dict=False)[0]

    return Decoder()
