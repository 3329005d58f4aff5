"""The plugin of kubectl: one file that people copy onto their own machines, so it imports nothing of this package."""
