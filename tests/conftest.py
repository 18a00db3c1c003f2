"""Every test runs with shapes checked at run time, strict dtypes and no silent broadcasting."""

from jaxtyping import install_import_hook

# An int counts as a float, as it does for type checkers.
install_import_hook("memgen_jax", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import jax  # noqa: E402  (the hook must be in place before the package is imported)
import pytest  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser):
    parser.addoption("--none-skipped", action="store_true", help="a test that would be skipped fails")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and item.config.getoption("--none-skipped"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, {report.longrepr[-1]}"
    return report


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture(scope="module")
def quick_compilation():
    """Less optimisation: small programs compile in half the time, and here compiling is most of it."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
