"""Plays a story on the running product; starts the programs as processes and speaks HTTP to them."""
