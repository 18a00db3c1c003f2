"""Where compiled programs are kept, and that a second process finds them."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import jax, jax.numpy as jnp
from memgen_jax.runs import compilation
compilation._SHORTEST = 0.0
compilation.keep_compiled_programs()
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((8, 8))).block_until_ready()
"""


def files_after(environment, folder, program=PROGRAM):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "MEMGEN_JAX"))}
    subprocess.run([sys.executable, "-c", program], env=kept | environment, check=True, timeout=300)
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_programs_are_kept_in_the_users_cache_folder_and_found_again(tmp_path):
    folder = tmp_path / "memgen_jax" / "compiled"
    first = files_after({"XDG_CACHE_HOME": str(tmp_path)}, folder)
    programs = [name for name in first if name.endswith("-cache")]
    again = files_after({"XDG_CACHE_HOME": str(tmp_path)}, folder)
    assert programs and [name for name in again if name.endswith("-cache")] == programs


def test_the_folder_is_named_or_turned_off_by_the_environment(tmp_path):
    named = tmp_path / "named"
    assert files_after({"MEMGEN_JAX_CACHE": str(named)}, named)
    assert not files_after(
        {"MEMGEN_JAX_CACHE": "0", "XDG_CACHE_HOME": str(tmp_path)}, tmp_path / "memgen_jax"
    )


def test_a_flag_has_none_kept_or_read(tmp_path):
    program = PROGRAM.replace("programs()\n", "programs()\ncompilation.keep_none()\n")
    assert program != PROGRAM
    assert not files_after({"XDG_CACHE_HOME": str(tmp_path)}, tmp_path / "memgen_jax", program)


STARTED = """
import jax
from memgen_jax.programs import launcher
launcher._run = lambda program, line: print(jax.config.jax_enable_compilation_cache)
launcher.start("transition", ["--config=digits:smoke", "--workdir=unused", {}])
"""


@pytest.mark.parametrize(("flag", "kept"), [("", "True"), ("'--nokeep_compiled'", "False")])
def test_a_program_heeds_the_flag(flag, kept, tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "MEMGEN_JAX"))}
    done = subprocess.run(
        [sys.executable, "-c", STARTED.format(flag)],
        env=environment | {"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, f"{kept}\n"), done.stderr
