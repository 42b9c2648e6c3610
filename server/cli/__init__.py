"""The commands of `python -m server`, a chapter each."""
