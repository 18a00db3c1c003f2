"""The solvable 2-D circle. Start with `program.py`."""
