"""Pages for people: the same services as the API, as HTML that works without JavaScript."""
