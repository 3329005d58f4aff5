"""The only state across objects: queue, observation, apply and status."""
