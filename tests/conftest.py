"""Every test runs with shapes checked at run time, strict dtypes and no silent broadcasting."""

import gc
import os
import pathlib
import resource
import shutil
import sys
import tempfile

from tests import checked_calls

# What one process has compiled, the others of a session find on disk, those that tests start included: compiling is
# most of the time. The folder goes with the session, unless the environment names one that stays.
_OWN_PROGRAMS = (
    "" if "JAX_COMPILATION_CACHE_DIR" in os.environ else tempfile.mkdtemp(prefix="memgen-programs-")
)
if _OWN_PROGRAMS:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _OWN_PROGRAMS
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

checked_calls.install()

import jax  # noqa: E402  (the hook must be in place before the package is imported)
import pytest  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_unconfigure(config):
    if _OWN_PROGRAMS:
        shutil.rmtree(_OWN_PROGRAMS, ignore_errors=True)


def pytest_addoption(parser):
    parser.addoption("--none-skipped", action="store_true", help="a test that would be skipped fails")


# Begun first, so that none of several processes is left alone with one of them at the end.
LONGEST_FIRST = (
    "sweep/test_devices.py",
    "programs/transition/test_program.py",
    "programs/transition/test_processes.py",
    "sweep/test_train.py",
    "programs/transition/test_densities.py",
    "programs/transition/test_halves.py",
)


def pytest_collection_modifyitems(items):
    def place(item):
        for number, module in enumerate(LONGEST_FIRST):
            if item.path.as_posix().endswith(f"tests/{module}"):
                return number
        return len(LONGEST_FIRST)

    items.sort(key=place)  # keeps the order of all others


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


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    gc.collect()
    gc.freeze()  # what is imported stays: a collection need not go through it each time


class Held:
    """Memory of this process at which compiled programs are given up: each of four workers has some."""

    most = 1.5e9
    more = 0.5e9  # than what was left the last time: giving them up takes half a second


@pytest.fixture(scope="module", autouse=True)
def programs_let_go():
    """Compiled programs of earlier modules are given up where they come to gigabytes."""
    yield
    if _memory() > Held.most:
        jax.clear_caches()
        gc.collect()
        Held.most = max(Held.most, _memory() + Held.more)


def _memory() -> float:
    """The bytes that this process holds, or, where no file tells, the most that it has held."""
    pages = pathlib.Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.fixture(scope="module")
def quick_compilation():
    """Less optimisation: small programs compile in half the time, and here compiling is most of it."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are put together but not drawn, most of the time of a small run: where others check the pictures."""
    import io

    from PIL import Image

    from memgen_jax.report import style

    def blank(figure, kind):
        size = (figure.get_size_inches() * style.DOTS_PER_INCH).astype(int)
        file = io.BytesIO()
        Image.new("L", tuple(size), 255).save(file, kind)
        return file.getvalue()

    monkeypatch.setattr(style, "_bytes", blank)
