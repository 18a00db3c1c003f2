"""The programs put the rooms together: each is told from top to bottom by its `program.py`."""
