"""When does a model come closer to the truth than to its data? Start with `program.py`."""
