"""How much data turns copying into creation? Start with `program.py`."""
