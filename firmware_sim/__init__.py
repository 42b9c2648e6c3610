"""The simulated tag (reference firmware), its radio, and the doors by which it reaches a real scanner."""
