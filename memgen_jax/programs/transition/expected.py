"""What data a config was written for."""

import dataclasses

from memgen_jax import data
from memgen_jax.errors import FIELD, InputError


@dataclasses.dataclass(frozen=True)
class ExpectSettings:
    """What the config was written for; None where anything will do.

    Attributes:
      num_train, item_shape: of the training data.
      strict: whether other data are refused; else only a dry run counts with them.
    """

    num_train: int | None = None
    item_shape: tuple | None = None
    strict: bool = True

    def check(self, dataset: data.Dataset) -> None:
        """Refuses data that are not what the config was written for."""
        found = {"num_train": dataset.num_train, "item_shape": dataset.item_shape}
        for name, value in found.items() if self.strict else ():
            wanted = getattr(self, name)
            if wanted is not None and wanted != value:
                raise InputError(
                    f"the data set {dataset.name} has {name} {value}, and this config expects {wanted}: "
                    f"give the right data, or {FIELD[0]} with sizes K that fit.",
                    f"expect.{name}",
                )
