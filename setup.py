"""Beside pyproject.toml: the folder configs/ is shipped as the package memgen_jax.configs."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["memgen_jax*"]), "memgen_jax.configs"],
    package_dir={"memgen_jax.configs": "configs"},
)
