"""`python -m experiments.onset --config=NAME[:VARIANT] --workdir=DIR`; also `memgen onset …`."""

from memgen_jax.programs.launcher import start

if __name__ == "__main__":
    start("onset")
