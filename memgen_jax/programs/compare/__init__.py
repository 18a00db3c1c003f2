"""What differs between finished transition runs, and by how much? Start with `program.py`."""
