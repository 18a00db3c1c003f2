"""How much do two runs of one config differ, sample by sample?

python -m benchmarks.same_samples WORKDIR WORKDIR
"""

import pathlib
import sys

import numpy as np


def main() -> None:
    one, other = map(pathlib.Path, sys.argv[1:])
    for file in sorted((one / "samples").glob("*.npz")):
        own, theirs = (np.load(folder / "samples" / file.name) for folder in (one, other))
        (name,) = own.files
        difference = np.abs(own[name].astype(np.float32) - theirs[name].astype(np.float32))
        print(
            f"{file.stem}: {np.mean(difference > 0):.2%} of the numbers differ, by at most {difference.max():g}"
        )


if __name__ == "__main__":
    main()
