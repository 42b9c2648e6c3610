"""Stories: an order's dated facts with their hidden truth, read from a file's table and judged as they happened."""
