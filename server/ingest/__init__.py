"""From the broker to the store: drain, verify, resolve, store, acknowledge, answer with receipts."""
