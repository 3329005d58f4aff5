"""The gateway: stands in for server pods that sleep. Holds requests, wakes, and forwards; a process of its own."""
