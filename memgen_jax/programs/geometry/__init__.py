"""How deep is an attractor? Start with `program.py`."""
