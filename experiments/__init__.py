"""Programs: each reads a config, owns a workdir and prints progress; the mathematics is in memgen_jax."""
