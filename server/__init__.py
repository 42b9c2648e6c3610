"""The back office: stores what was heard, said and done, and derives every answer from it."""
