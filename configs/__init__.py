"""The configs: a file per published result; `parts.py` holds what they share."""
