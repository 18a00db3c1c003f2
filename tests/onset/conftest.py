import jax
import pytest


@pytest.fixture(autouse=True)
def promotion_with_64_bits():
    """In float64 an `arange` or a scan's counter is int64, which strict promotion will not compare with a float."""
    with jax.numpy_dtype_promotion("standard"):
        yield
