"""The owner's client: where are my tags, from a terminal, over the same API as every other client."""
