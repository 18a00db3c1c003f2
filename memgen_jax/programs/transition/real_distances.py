"""How near real items lie to each other, measured once a run: thresholds, quality and C_T all ask for it.

real/sets,num_samples=…npz         of real items to their nearest other one, in random sets of that size
real/held_out,num_train=…npz       of every held-out item to the nearest of a training set S

They do not depend on any network. A workdir that grows searches for its new sizes alone.
"""

import hashlib

import numpy as np

from memgen_jax import phases, runs, sweep
from memgen_jax.programs.transition.settings import TransitionRun


def of_sets(run: TransitionRun, workdir: runs.Workdir, size: int) -> np.ndarray:
    """float32 [item, draw]: from real items to their nearest other one, in sets of `size`; see `phases.real_sets`.

    Training and held-out items are drawn alike. All of them are one set where they are fewer.
    """
    parts = run.comparable_train, run.comparable_held_out
    count = sum(map(len, parts))
    size = min(size, count)

    def measure() -> np.ndarray:
        real = np.concatenate(parts)
        nearest = [
            run.metric.search(real[items], real[items], exclude_self=True).distance[:, 0]
            for items in phases.real_sets(count, size)
        ]
        return np.stack(nearest, axis=1)

    return _kept(run, workdir, f"sets,num_samples={size:06d}", measure)


def of_held_out(run: TransitionRun, workdir: runs.Workdir, member: sweep.Member | None = None) -> np.ndarray:
    """float32 [held-out]: from every held-out item to the nearest of S, or of all there is to train on."""
    name = "held_out"
    if member is not None:
        own = f",subset={member.subset}" if member.subset else ""
        name += f",num_train={member.num_train:06d}{own}"
    train = run.comparable_train if member is None else run.comparable_train_of(member)
    return _kept(run, workdir, name, lambda: run.metric.search(run.comparable_held_out, train).distance[:, 0])


def _kept(run: TransitionRun, workdir: runs.Workdir, name: str, measure) -> np.ndarray:
    """What real/<name>.npz holds where it is of these data, else what `measure` gives."""
    file, data = f"real/{name}.npz", digest(run)
    found = workdir.read_npz(file, "distance", "data")
    if found is not None and str(found["data"]) == data:
        return found["distance"]
    distance = measure()
    workdir.write_npz(file, distance=distance, data=np.array(data))
    return distance


def digest(run: TransitionRun) -> str:
    """Names the data of a run, in their order, and its metric."""
    if run.data_digest is None:
        own = hashlib.sha256(run.metric.phrase.encode())
        for items in (run.train, run.dataset.held_out):
            own.update(np.ascontiguousarray(items).tobytes())
        run.data_digest = own.hexdigest()
    return run.data_digest
