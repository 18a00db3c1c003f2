"""`python -m experiments.onset --config=FILE.py[:VARIANT] --workdir=DIR`."""

from memgen_jax.programs.onset.program import run

if __name__ == "__main__":
    run()
