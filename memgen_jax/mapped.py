"""Arrays that are mapped from files."""

import mmap


def let_go(array: object) -> None:
    """Takes what was read of a mapped file out of this process's memory; it comes again when it is asked for.

    Beside a copy of it, it would count twice.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):  # not on Windows
        mapped.madvise(mmap.MADV_DONTNEED)
