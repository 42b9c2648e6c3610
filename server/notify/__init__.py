"""Messages to people: e-mail and webhooks, enqueued with the fact and sent after it."""
