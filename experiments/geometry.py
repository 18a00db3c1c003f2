"""`python -m experiments.geometry --config=FILE.py[:VARIANT] --workdir=DIR`."""

from memgen_jax.programs.geometry.program import run

if __name__ == "__main__":
    run()
