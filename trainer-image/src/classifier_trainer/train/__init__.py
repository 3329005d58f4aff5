"""Trains what was prepared. No other room is imported here."""
