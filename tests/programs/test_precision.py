"""`matmul_precision` is a setting of every program that multiplies, and means the same in all."""

import jax
import jax.numpy as jnp
import pytest

from memgen_jax import runs
from memgen_jax.errors import InputError
from memgen_jax.programs import configs, precision, reference
from memgen_jax.programs.geometry import program as geometry

EXAMPLES = {"transition": "digits:smoke", "circle": "circle", "geometry": "geometry_digits"}
ONSETS = ("onset_linear", "onset_unet:smoke")


class Reached(Exception):
    """The program began its work."""


@pytest.mark.parametrize("name", [*EXAMPLES.values(), *ONSETS])
@pytest.mark.parametrize(("asked", "taken"), [("highest", "highest"), ("default", None)])
def test_every_program_computes_with_the_precision_that_it_is_given(
    tmp_path, monkeypatch, name, asked, taken
):
    seen = []

    def begin(*_):
        seen.append(jax.config.jax_default_matmul_precision)
        raise Reached

    monkeypatch.setattr(runs.Workdir, "write_environment", begin)
    monkeypatch.setattr(geometry, "check", lambda settings: None)  # there is no finished run here
    monkeypatch.setattr(geometry.sources, "from_pipeline", lambda *_: None)
    config = configs.load_config(name)
    program = configs.program_of(config)
    config.matmul_precision = asked
    with pytest.raises(Reached):
        program.main(config, str(tmp_path / "run"))
    assert seen == [taken] and jax.config.jax_default_matmul_precision is None


def test_a_product_is_compiled_as_asked_and_one_that_says_its_own_keeps_it():
    one = jax.ShapeDtypeStruct((8, 8), jnp.float32)
    plain, own = lambda x: x @ x, lambda x: jnp.matmul(x, x, precision="highest")
    with precision.products("high"):
        inside = [jax.jit(function).lower(one).as_text() for function in (plain, own)]
    assert "[HIGH, HIGH]" in inside[0] and "[HIGHEST, HIGHEST]" in inside[1]
    assert "HIGH" not in jax.jit(plain).lower(one).as_text()


def test_every_program_has_the_setting_and_refuses_another_precision():
    for classes in reference.SETTINGS.values():
        for cls in classes:
            assert "matmul_precision" in {own.name for own in reference.settings_of(cls)}
    for name in (*EXAMPLES.values(), *ONSETS):
        config = configs.load_config(name)
        program = configs.program_of(config)
        config.matmul_precision = "exact"
        with pytest.raises(
            InputError, match="matmul_precision='exact' must be one of default, high, highest"
        ):
            program.main(config, "unused")


def test_a_run_from_before_the_setting_is_found_again(tmp_path):
    runs.Workdir(tmp_path, {"seed": 0}).close()
    runs.Workdir(tmp_path, {"seed": 0, "matmul_precision": "default"}, absent=precision.ABSENT).close()
    with pytest.raises(InputError, match="matmul_precision"):
        runs.Workdir(tmp_path, {"seed": 0, "matmul_precision": "high"}, absent=precision.ABSENT)
