"""The published schemas of what programs write as JSON: the files of memgen_jax/report/schemas, JSON Schema 2020-12."""

import functools
import importlib.resources
import json
from typing import Any, Literal, get_args

from memgen_jax.arrays_in import takes_arrays

Name = Literal["summary", "transition"]
NAMES = get_args(Name)


@functools.cache
def _text(name: str) -> str:
    return importlib.resources.files("memgen_jax.report").joinpath(f"schemas/{name}.json").read_text()


@takes_arrays
def load(name: Name) -> dict[str, Any]:
    """The schema of `summary.json` ("summary") or `transition.json` ("transition").

    >>> from memgen_jax.report import schema
    >>> schema.load("summary")["$id"]
    'urn:memgen-jax:schema:summary:1'
    """
    return json.loads(_text(name))


@takes_arrays
def identifier(name: Name) -> str:
    """The `$id` of a schema, which a file that follows it holds under "schema"."""
    return load(name)["$id"]
