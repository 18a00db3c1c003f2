"""Where a distance counts as "the same image": a file a rule, and `choose` among them by name."""
