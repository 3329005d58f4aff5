"""Turns a dataset and a base model into a text classifier: `python3 -m classifier_trainer --help`."""

__version__ = "0.1.0"
