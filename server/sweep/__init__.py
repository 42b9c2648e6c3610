"""Looks again at what is due: the next moment of every finding."""
