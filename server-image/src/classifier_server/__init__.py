"""The server image: one text classifier behind an HTTP API."""
