"""The two kinds of `classifiers.dev`: frozen models, names, and the generator of their CRDs."""
