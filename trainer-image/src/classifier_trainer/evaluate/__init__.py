"""How good a checkpoint is. No other room is imported here."""
