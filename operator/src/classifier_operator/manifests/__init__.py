"""Pure functions that return the manifests of children."""
