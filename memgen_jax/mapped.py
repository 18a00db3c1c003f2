"""Arrays that are mapped from files."""

import mmap


def let_go(array: object) -> None:
    """Takes what was read of a mapped file, and what was written, out of this process's memory.

    It comes again when it is asked for. Of any other array, nothing happens.

    Args:
      array: mapped, or a view of a mapped one.
    """
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "_mmap", None) or getattr(array, "base", None)
    if array is not None and hasattr(array, "madvise"):  # not on Windows
        array.madvise(mmap.MADV_DONTNEED)
