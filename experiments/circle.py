"""`python -m experiments.circle --config=NAME[:VARIANT] --workdir=DIR`; also `memgen circle …`."""

from memgen_jax.programs.launcher import start

if __name__ == "__main__":
    start("circle")
