"""The backbone, its head, its adapter and its template. No other room is imported here."""
