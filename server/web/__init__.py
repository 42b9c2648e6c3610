"""The API and the pages: one request is one transaction."""
