"""What configs share: how a variant is chosen.

A config file defines `VARIANTS`, name -> a function that changes the config, and
`get_config(variant)`, which ends with `parts.with_variants`. `digits:smoke+ve` applies two, left to right.
"""

from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

Variants = Mapping[str, Callable[[ConfigDict], None]]


def with_variants(config: ConfigDict, variant: str, variants: Variants) -> ConfigDict:
    """The config, changed by each variant of "NAME" or "NAME+NAME"; "" changes nothing.

    Raises:
      ValueError: there is no such variant; says which there are.
    """
    for name in variant.split("+") if variant else ():
        if name not in variants:
            raise ValueError(f"there is no variant {name!r}; there are {', '.join(variants)}")
        variants[name](config)
    return config
