"""Every test runs with shapes checked at run time, strict dtypes and no silent broadcasting."""

from jaxtyping import install_import_hook

# An int counts as a float, as it does for type checkers.
install_import_hook("memgen_jax", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import jax  # noqa: E402  (the hook must be in place before the package is imported)
import pytest  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture(scope="module")
def quick_compilation():
    """Less optimisation: small programs compile in half the time, and here compiling is most of it."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
