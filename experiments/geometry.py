"""`python -m experiments.geometry --config=NAME[:VARIANT] --workdir=DIR`; also `memgen geometry …`."""

from memgen_jax.programs.launcher import start

if __name__ == "__main__":
    start("geometry")
