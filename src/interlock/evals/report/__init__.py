"""Reports of runs and gates: JUnit for machines that know tests, one HTML page for people. Text in, text
out.
"""
