"""Carries out a decision: which model is called next, with what request, and whether its answer may pass.

`plan`, `prepare`, `validate`, `cost` and `flow` are pure; `executor` acts. Nothing here decides where
a request may run: it only walks the path that the decision laid out, and asks policy again at each hop.
"""
