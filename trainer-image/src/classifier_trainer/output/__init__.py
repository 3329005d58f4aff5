"""What a run leaves behind. No other room is imported here."""
