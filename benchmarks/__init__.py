"""Side-by-side speed: every file answers one question with ratios measured in one run."""
