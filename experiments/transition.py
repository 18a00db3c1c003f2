"""`python -m experiments.transition --config=FILE.py[:VARIANT] --workdir=DIR`."""

from memgen_jax.programs.transition.program import run

if __name__ == "__main__":
    run()
