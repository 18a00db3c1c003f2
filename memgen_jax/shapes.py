"""Names for shapes that stand in many signatures; all others are written where they are used."""

from jaxtyping import Array, Float

Scalar = Float[Array, ""]
