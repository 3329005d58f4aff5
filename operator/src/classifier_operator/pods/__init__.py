"""All HTTP with the pods."""
