"""What every rule gives: two thresholds and where they come from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Both thresholds, in the metric's own scale, and where they come from.

    rule: "given", "paper: NAME", "valley" or "held-out at 1% false positives".
    delta_m_interval, delta_s_interval: 95% interval of each; None where the rule leaves no doubt.
    """

    delta_m: float
    delta_s: float
    rule: str
    delta_m_interval: tuple[float, float] | None = None
    delta_s_interval: tuple[float, float] | None = None
