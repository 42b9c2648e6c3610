"""Every decision, as pure functions: facts and the moment in, a value out."""
