"""Statistics for evals and releases: pure functions over numbers, each with the source of its formula.

It knows nothing of models, cases or gates. The standard library is enough: samples here are hundreds to
thousands.
"""
