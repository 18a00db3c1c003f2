"""Networks that map one item x and its time t to a prediction; batching is `vmap` outside."""

from memgen_jax.models.ddpm_unet import UNet, unet
from memgen_jax.models.embeddings import gaussian_fourier, sinusoidal
from memgen_jax.models.model import Model, Params, from_module
from memgen_jax.models.residual_mlp import MLP, mlp

__all__ = [
    "MLP",
    "Model",
    "Params",
    "UNet",
    "from_module",
    "gaussian_fourier",
    "mlp",
    "sinusoidal",
    "unet",
]
