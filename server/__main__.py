"""`python -m server`: the command line of the back office."""

from __future__ import annotations

from server.cli.app import main

if __name__ == "__main__":
    main()
