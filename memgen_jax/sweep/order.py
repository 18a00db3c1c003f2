"""The order in which a member sees its training items: every epoch a fresh permutation, never stored.

A pipeline with state would have to be checkpointed and could not be split; this one is a function of the
position alone, so any step of any member can be recomputed on any device.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

_ROUNDS = 32  # log2 of the largest set is below 20; the shuffle mixes in a small multiple of that
# All rounds one after another: a loop inside the training step would cost a device as many launches as it has rounds.
_UNROLL = _ROUNDS


def epoch_index(key: jax.Array, position: Int[Array, ""], num_train: Int[Array, ""]) -> Int[Array, ""]:
    """The item at `position` of an endless stream of shuffled epochs over 0..num_train-1.

    Positions e * num_train ... (e + 1) * num_train - 1 hold each item once. The permutation of an epoch is
    a swap-or-not shuffle (Hoang, Morris & Rogaway 2012): a round pairs x with (pivot - x) mod num_train and
    swaps the pair or not by a hash of its larger end, so it permutes any number of items exactly, without
    building a table. Written for one position; batch with `jax.vmap`.
    """
    epoch, place = position // num_train, position % num_train
    words = jax.random.bits(jax.random.fold_in(key, epoch), (_ROUNDS, 2), jnp.uint32)
    size = num_train.astype(jnp.uint32)

    def swap_or_not(x, word):
        pivot = word[0] % size
        partner = (pivot + size - x) % size
        swap = _mix(jnp.maximum(x, partner) ^ word[1]) & jnp.uint32(1)
        return jnp.where(swap == 1, partner, x), None

    item, _ = jax.lax.scan(swap_or_not, place.astype(jnp.uint32), words, unroll=_UNROLL)
    return item.astype(jnp.int32)


def _mix(x: jax.Array) -> jax.Array:
    """A 32-bit finaliser (the one of MurmurHash3): every input bit flips half of the output bits."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
