"""`python -m experiments.circle --config=FILE.py[:VARIANT] --workdir=DIR`."""

from memgen_jax.programs.circle.program import run

if __name__ == "__main__":
    run()
