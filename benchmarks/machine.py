"""The machine under a table: its name, what it was doing, and the BLAS kernels that the contestants run.

A variable of the environment can make one contestant slow by choosing another's kernels or threads (with
`OPENBLAS_CORETYPE` set, faiss took 1.5 times as long). So a benchmark starts anew without such variables.
"""

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

# Variables by which BLAS, OpenMP, XLA and JAX choose kernels and threads. JAX_PLATFORMS, the reader's choice of a
# device, stays; so does what says where compiled programs are kept.
CHOOSING = re.compile(
    r"(OPENBLAS|GOTO|MKL|BLIS|OMP|GOMP|KMP|VECLIB|NUMEXPR|ATEN|NVPL_BLAS|ONEDNN|DNNL|FAISS_OPT)_.*"
    r"|NPY_(DISABLE|ENABLE)_CPU_FEATURES|XLA_FLAGS|TF_XLA_FLAGS"
    r"|JAX_(DEFAULT_MATMUL_PRECISION|ENABLE_X64|NUM_CPU_DEVICES|CPU_.*|DISABLE_.*)"
)


def start_without_choices() -> None:
    """Starts this benchmark again where the environment chooses for a contestant, and says so."""
    chosen = sorted(name for name in os.environ if CHOOSING.fullmatch(name))
    run = re.search(r"(^|\0)-m\0benchmarks\.", "\0".join(sys.orig_argv))  # not only imported
    if not (chosen and run):
        return
    print(f"started again without {', '.join(chosen)}", file=sys.stderr, flush=True)
    kept = {name: value for name, value in os.environ.items() if name not in chosen}
    os.execve(sys.executable, sys.orig_argv, kept)


def compile_anew() -> None:
    """Has JAX neither keep compiled programs nor take kept ones: for what tells how long compiling takes."""
    import jax

    jax.config.update("jax_enable_compilation_cache", False)


def describe(*packages: str) -> str:
    """One line: processor, cores, load before the run, and the packages' releases."""
    from memgen_jax.cores import available_cores

    releases = [f"{name} {release}" for name in ("jax", *packages) if (release := _release(name))]
    load = f", {os.getloadavg()[0]:.1f} processes busy before" if hasattr(os, "getloadavg") else ""
    return f"{_processor()}, {available_cores()} cores{load}; {', '.join(releases)}, Python {platform.python_version()}"


def kernels(with_torch: bool = False) -> list[str]:
    """One line for each BLAS that is loaded by now: whose, which kernel, how many threads.

    XLA's own products are not seen. Needs threadpoolctl, which comes with scikit-learn.

    Args:
      with_torch: PyTorch's too, where it is installed; that loads it.
    """
    from threadpoolctl import threadpool_info

    lines = _of_torch() if with_torch else []
    for library in threadpool_info():
        if library["user_api"] == "blas":
            owner = re.search(r"([\w.-]+?)(\.libs)?/[^/]*$", library["filepath"])
            kernel = library.get("architecture") or "its own choice"
            lines.append(
                f"{owner[1] if owner else library['filepath']}: {library['internal_api']} "
                f"{library['version'] or ''} with kernel {kernel}, {library['num_threads']} threads"
            )
    return lines


def _of_torch() -> list[str]:
    """Its products are linked into it, where threadpoolctl does not look."""
    try:
        import torch
    except ImportError:
        return []
    told = torch.__config__.show()
    products, convolutions = re.search(r"BLAS_INFO=(\w+)", told), re.search(r"MKL-DNN (v[\d.]+)", told)
    return [
        f"torch: products by {products[1] if products else 'what it does not name'}, "
        f"convolutions by oneDNN {convolutions[1] if convolutions else '(none)'}, "
        f"for {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    ]


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _release(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
