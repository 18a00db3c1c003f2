import jax
import pytest


@pytest.fixture(autouse=True)
def promotion_as_optax_needs_it():
    """Adam's bias correction in optax raises a float to an int32 power."""
    with jax.numpy_dtype_promotion("standard"):
        yield
