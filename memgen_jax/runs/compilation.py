"""Compiled programs, kept from one process to the next.

A U-Net's training step takes a device a minute to compile; a run that continues, or the next one with the same
shapes, finds it in the user's cache folder. On a GPU it is then also the same program to the bit: compiled anew,
it may have been given other kernels.
"""

import os

import jax

OWN_FOLDER = "MEMGEN_JAX_CACHE"  # names another folder; "" or "0" for none
_SHORTEST = 2.0  # seconds of compilation that are worth a file


def cache_folder() -> str:
    """Where compiled programs are kept: ~/.cache/memgen_jax/compiled, or as the environment says; "" for nowhere."""
    given = os.environ.get(OWN_FOLDER)
    if given is not None:
        return "" if given in ("", "0") else given
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "memgen_jax", "compiled")


def keep_compiled_programs() -> None:
    """Has JAX keep compiled programs, unless the user has told JAX already where, or that it is not to."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or "JAX_ENABLE_COMPILATION_CACHE" in os.environ:
        return
    if folder := cache_folder():
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _SHORTEST)


def keep_none() -> None:
    """Has JAX neither read nor keep compiled programs in this process."""
    jax.config.update("jax_enable_compilation_cache", False)
