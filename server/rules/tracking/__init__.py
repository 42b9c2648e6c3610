"""What a carrier's number says by itself, offline: carrier, service, destination, and whether it was mistyped."""
