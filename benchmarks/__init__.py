"""Side-by-side speed: every file answers one question with ratios measured in one run."""

from benchmarks import machine

machine.start_without_choices()

from memgen_jax.runs.compilation import keep_compiled_programs  # noqa: E402  (JAX reads the environment when imported)

keep_compiled_programs()  # a benchmark that times compilation turns it off: `machine.compile_anew`
