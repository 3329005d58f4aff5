"""Builds the project's images and takes them into the cluster."""
