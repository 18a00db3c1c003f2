"""Whether the smallest training set was learned by heart, as any network that was trained long enough does.

Where it was not, though the exact score copies through the same sampler and thresholds, "generalized" says nothing of
the data: the networks are undertrained or unsuited, and the run must say so before it says anything else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

HALF = 0.5


def check(
    rows: Sequence[Mapping[str, Any]],
    control: Sequence[Mapping[str, Any]],
    quality: Sequence[Mapping[str, Any]],
    predicts: str = "",
) -> dict[str, Any]:
    """What the smallest K says of the networks of one width.

    Args:
      rows: of fractions.csv.
      control: of control.csv, the exact score; empty where it was not run.
      quality: of `held_out_quality`.
      predicts: what the networks predict; "" where they were not trained here.
    Returns:
      `num_train`, the smallest; `memorized` and `control_memorized`, shares (None without control); `learned`: False
      where the upper end of the first's interval is below one half while the control's share is not, None where the
      control copies as little or was not run and so nothing follows; `sentence`, for a reader, where it is False.
    """
    first = min(rows, key=lambda row: row["num_train"])
    size = first["num_train"]
    exact = next((row["memorized"] for row in control if row["num_train"] == size), None)
    low = first["memorized_high"] < HALF
    learned = True if not low else False if exact is not None and exact >= HALF else None
    found = {
        "num_train": int(size),
        "memorized": first["memorized"],
        "control_memorized": exact,
        "learned": learned,
    }
    if learned is not False or exact is None:
        return found
    own = next((row for row in quality if row["num_train"] == size), None)
    distances = ""
    if own and own["sample_distance"] is not None and own["held_out_distance"]:
        distances = (
            f"; its samples lie {own['sample_distance']:.3g} from the training set, held-out items "
            f"{own['held_out_distance']:.3g}"
        )
    sentence = (
        f"The networks are undertrained or unsuited, and no label tells of the data: at the smallest K, "
        f"{int(size):,}, they copy {100 * first['memorized']:.0f}% where the exact score copies {100 * exact:.0f}%"
        f"{distances}. Try {'' if predicts == 'denoised' else 'train.prediction=denoised, '}more train.num_steps, or a "
        "larger network."
    )
    return found | {"sentence": sentence}
