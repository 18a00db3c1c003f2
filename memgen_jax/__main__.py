"""`python -m memgen_jax …` is the command `memgen …`."""

from memgen_jax.cli import console

console()
