"""Evals: suites of cases, what scores an answer, what the scores amount to, and whether a release may go on.

Pure but for `loading`, which reads files. Running cases is `harness`'s part; here a run is a value, `Sample`.
"""
