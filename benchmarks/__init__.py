"""Side-by-side speed: every file answers one question with ratios measured in one run."""

from memgen_jax.runs.compilation import keep_compiled_programs

keep_compiled_programs()  # times leave compilation out, but for control.py, which turns this off
