"""Validation of what comes back. Pure: a finding is a value; what follows from it is decided elsewhere.

To add a check: a module with `judges`, which says what one request needs checked and how, named in the
table `CHECKS` of `verdict.py`. A check sees an answer that has ended, whether it came whole or as a
stream. Tool calls alone are judged as they come (`calls.py`), since each is held back until it is.
"""
