"""How exactly a device multiplies float32 numbers: one setting, `matmul_precision`, in every program."""

import contextlib
from collections.abc import Iterator

from memgen_jax.errors import InputError

PRECISIONS = ("default", "high", "highest")
# Of runs that were made before their program had the setting.
ABSENT = {"matmul_precision": "default"}


def require_precision(precision: str) -> None:
    """Raises InputError for a `matmul_precision` that there is not."""
    if precision not in PRECISIONS:
        raise InputError.setting("matmul_precision", precision, f"one of {', '.join(PRECISIONS)}")


@contextlib.contextmanager
def products(precision: str) -> Iterator[None]:
    """Has all threads take float32 products and convolutions so while this lasts.

    Products that say their own precision keep it: those of the neighbour search, of LPIPS and of the exact score are
    float32 on every device.

    Args:
      precision: "default", the device's own or what JAX was told (TF32 on an A100 or H100, bfloat16 passes on a TPU,
        float32 on a CPU); "high", three passes; "highest", float32 on all.
    """
    import jax

    require_precision(precision)
    before = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    if precision != "default":
        jax.config.update("jax_default_matmul_precision", precision)
    try:
        yield
    finally:
        jax.config.update("jax_default_matmul_precision", before)
