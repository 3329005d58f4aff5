"""From files of rows to texts and targets. No other room is imported here."""
