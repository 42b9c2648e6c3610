"""Everything two programs must agree on, and nothing else: frames, keys, batches, receipts, topics, GATT."""
