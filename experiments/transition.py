"""`python -m experiments.transition --config=NAME[:VARIANT] --workdir=DIR`; also `memgen transition …`."""

from memgen_jax.programs.launcher import start

if __name__ == "__main__":
    start("transition")
