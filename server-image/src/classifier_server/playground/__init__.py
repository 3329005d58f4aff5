"""The page at GET `/` on which people try the model: its files, and the model card that it shows."""
