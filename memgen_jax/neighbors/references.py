"""The references of a search or a count: where they stay, and tile after tile as queries meet them."""

import math
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Shaped

from memgen_jax.mapped import let_go
from memgen_jax.neighbors.resident import rows_there
from memgen_jax.neighbors.rows import padded, place_of_references, point_amid, rows_per_tile, tile_sides
from memgen_jax.neighbors.tiles import BLOCK, Prepared, prepare

# Queries that an accelerator takes at once where its references stay: enough to keep it busy, and while it compares
# them the host looks at those before and the next ones are on their way.
QUERIES_ON_ACCELERATOR = 16_384


class References:
    """References with what comparing with them needs.

    Attributes:
      items: the references, on the host.
      centre: a point amid them, that is taken from everything: distances stay, and the Gram form loses less to
        cancellation.
      keep: whether they stay on the devices, ready, instead of coming again for each tile of queries.
      spread: whether each device has a share of them instead of all; then every query goes to all devices.
      of_queries, of_references: how these lie on the devices.
      everywhere: how what all devices need lies there.
    """

    def __init__(
        self,
        items: Shaped[np.ndarray, "reference dim"],
        memory: int,
        dtype: np.dtype,
        mesh: Mesh,
        on_cpu_at_once: int,
    ):
        """
        Args:
          memory: bytes that tiles may take on each device.
          dtype: of the products, float32 or bfloat16.
          on_cpu_at_once: queries of a tile, at most about, on processors where references stay.
        """
        self.items, self.dtype, self.mesh = items, dtype, mesh
        self.centre = point_amid(items)
        count, dim = items.shape
        place = place_of_references(count, dim, memory, mesh.devices.size)
        self.keep, self.spread = place != "sent", place == "spread"
        self._prepared: dict[int, Prepared] = {}
        most = memory
        if self.keep:  # small tiles of queries then cost no references sent again
            on_cpu = mesh.devices.flat[0].platform == "cpu"
            most = on_cpu_at_once if on_cpu else QUERIES_ON_ACCELERATOR
        self._query_side, self._side = tile_sides(memory, dim, most)
        split, self.everywhere = (
            NamedSharding(mesh, PartitionSpec("query")),
            NamedSharding(mesh, PartitionSpec()),
        )
        self.of_queries, self.of_references = (
            (self.everywhere, split) if self.spread else (split, self.everywhere)
        )
        self._centre_there = jax.device_put(self.centre, self.everywhere)

    def rows_of_a_tile(self, num_queries: int) -> int:
        """Queries of a tile, of so many in all."""
        among = 1 if self.spread else self.mesh.devices.size
        return rows_per_tile(math.ceil(num_queries / among), self._query_side, 16) * among

    @property
    def tile(self) -> int:
        """References of a tile."""
        among = self.mesh.devices.size if self.spread else 1
        return rows_per_tile(math.ceil(len(self.items) / among), self._side, BLOCK) * among

    def queries(self, items: Shaped[np.ndarray, "query dim"], count: int) -> Prepared:
        """A tile of queries on the devices, less the centre, filled up to `count`."""
        rows = rows_there(items, count, self.of_queries)
        return prepare(rows, self._centre_there, len(items), self.dtype)

    def everywhere_at_once(self, items: Shaped[np.ndarray, "query dim"], count: int) -> Prepared:
        """A few queries likewise, all of them on every device."""
        rows = jax.device_put(padded(items, count), self.everywhere)
        return prepare(rows, self._centre_there, len(items), self.dtype)

    def like_queries(self, values: Shaped[np.ndarray, "query ..."]) -> Array:
        """What belongs to a tile's queries, laid out as they are."""
        return jax.device_put(values, self.of_queries)

    def tiles(self) -> Iterator[tuple[int, Prepared]]:
        """(number of its first row, tile) of all references, in order."""
        size = self.tile
        for first in range(0, len(self.items), size):
            found = self._prepared.get(first)
            if found is None:
                part = self.items[first : first + size]
                rows = rows_there(part, size, self.of_references)
                found = prepare(rows, self._centre_there, len(part), self.dtype)
            if self.keep:
                self._prepared[first] = found
            yield first, found
            let_go(self.items)
