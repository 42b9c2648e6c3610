"""Parts that the server starts itself where nobody gave it any: PostgreSQL and an MQTT broker, as child processes."""
