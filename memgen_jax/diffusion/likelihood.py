"""log p(x, t) of whatever density a denoiser samples from, by its probability-flow ODE.

Along a solution of dx/dt = f~(x, t) = f - g^2 score / 2 the density changes by
d log p / dt = -div f~ (the total derivative; Pham et al. 2025, Eq. 28), so

  log p(x, t) = log p_T(x_T) + int_t^T div f~ dt                        (Eqs. 21 and 29).

Integrated from the very t at which it is asked: E(x, t) = -2 s(t)^2 log p(x, t) (Eq. 22). The solver steps in
the process's own clock: in t the rate of DDPM is a staircase, and every corner that a step crosses costs a
thousand times the tolerance.
The prior p_T is a choice that shows: a VE process with sigma = 1 ends in data * N(0, I), not in N(0, I).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from memgen_jax.annotations import Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion.processes import Denoiser, Process, Time, require_time
from memgen_jax.errors import InputError, whole_number
from memgen_jax.shapes import Scalar

Item = Float[Array, "*item"]
Prior = Callable[[jax.Array], jax.Array]
"""x_T, one item → log p_T(x_T)."""

DIVERGENCES = ("exact", "hutchinson")
"""How the divergence is taken: the Jacobian's whole trace, or Hutchinson's estimate of it."""


class Likelihood(NamedTuple):
    """The answer for one item.

    Attributes:
      log_density: log p(x, t), in nats.
      end: x_T, the latent that the flow carries x to.
      num_steps: solver steps, rejected ones included.
      solved: False where the solver gave up or met a value that is not finite.
    """

    log_density: Scalar
    end: Float[Array, "*item"]
    num_steps: Int[Array, ""]
    solved: Bool[Array, ""]


@takes_arrays
def gaussian_prior(process: Process) -> Prior:
    """log N(x; 0, prior_std^2 I), the density from which sampling starts."""

    def prior(x: jax.Array) -> jax.Array:
        variance = process.prior_std**2
        return -0.5 * (jnp.sum(x**2) / variance + x.size * np.log(2 * np.pi * variance))

    return prior


@takes_arrays
def log_likelihood(
    x: Item,
    t: Time,
    denoiser: Denoiser,
    process: Process,
    prior: Prior,
    *,
    divergence: str = "exact",
    key: PRNGKeyArray | None = None,
    num_probes: Positive = 1,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: Positive = 4096,
) -> Likelihood:
    """log p(x, t) for one item; `vmap` over items.

    Dormand and Prince's 5(4) pair with adaptive steps, as in Pham et al. 2025, App. B.

    Args:
      x: the item, at noise level t.
      t: where the density is asked, in (0, t_max].
      denoiser: (x, t) -> E[x_0 | x_t]; the density is the one that its score belongs to.
      prior: log p_T; `gaussian_prior(process)`, or the exact marginal of known data, for instance
        `lambda x: memory.log_density(x, patterns, process.t_max, process)`.
      divergence: "exact", the trace of the Jacobian from one product per dimension; or "hutchinson", its
        unbiased estimate from `num_probes` vectors of random signs, fixed along the trajectory (Eq. 30).
      key: of the probes; needed by "hutchinson" alone.
      rtol, atol: tolerances of a step, relative and absolute.
      max_steps: the solver gives up after as many, and `solved` is False.
    Raises:
      InputError: for a t or a setting outside its range. A score that is not finite is no error: `solved`
        tells it, item by item.
    """
    import diffrax

    if divergence not in DIVERGENCES:
        raise InputError.setting("divergence", divergence, f"one of {', '.join(DIVERGENCES)}")
    require_time(t, process)
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not 0 < tolerance < np.inf:
            raise InputError.setting(name, tolerance, "positive: it is a tolerance of the solver")
    max_steps = whole_number("max_steps", max_steps, 1)
    if divergence == "exact":
        probes = jnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
        scale = 1.0
    else:
        if key is None:
            raise InputError('divergence="hutchinson" draws probes: give a key.')
        num_probes = whole_number("num_probes", num_probes, 1)
        probes = jax.random.rademacher(key, (num_probes, *x.shape), x.dtype)
        scale = 1.0 / num_probes

    def flow(clock: jax.Array, state: tuple[jax.Array, jax.Array], _: None) -> tuple[jax.Array, jax.Array]:
        t = process.time_at(clock)
        _, pace = jax.jvp(process.clock, (t,), (jnp.ones_like(t),))

        def velocity(x: jax.Array) -> jax.Array:
            score = process.score_from_denoised(denoiser(x, t), x, t)
            return (process.drift(x, t) - 0.5 * process.diffusion(t) ** 2 * score) / pace

        along = lambda probe: jax.jvp(velocity, (state[0],), (probe,))  # noqa: E731
        value, pushed = jax.vmap(along, out_axes=(None, 0))(probes)
        return value, scale * jnp.sum(probes * pushed)

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(flow),  # type: ignore[arg-type]
        diffrax.Dopri5(),
        t0=process.clock(t),
        t1=process.clock(process.t_max),
        dt0=None,
        y0=(x, jnp.zeros((), x.dtype)),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        saveat=diffrax.SaveAt(t1=True),
        max_steps=max_steps,
        throw=False,
    )
    end, change = jax.tree.map(lambda leaf: leaf[0], solution.ys)
    log_density = prior(end) + change
    solved = (solution.result == diffrax.RESULTS.successful) & jnp.isfinite(log_density)
    return Likelihood(log_density, end, solution.stats["num_steps"], solved)


@takes_arrays
def bits_per_dim(log_density: Float[Array, "*batch"], num_dims: int) -> Float[Array, "*batch"]:
    """Bits per pixel channel of uint8 images whose density was taken on the range [-1, 1].

    One grey level is 1 / 127.5 wide there, so P(level) = p(x) / 127.5 per dimension:
    bits = -log2 p(x) / N + log2 127.5.

    Args:
      log_density: log p(x) in nats, of whole images.
      num_dims: N, the numbers in one image (height x width x channels).
    """
    num_dims = whole_number("num_dims", num_dims, 1)
    return -log_density / (num_dims * np.log(2)) + np.log2(127.5)
