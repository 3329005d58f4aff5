"""Pure decisions: (spec, observed, now) to frozen decisions."""
