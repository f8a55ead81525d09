"""`interlock demo`: real requests through a real gateway in front of real (small) models, each explained.

folder      the demo's own folder: config, lane schema, keys
scenarios   what is asked and what must come of it, as data
ask         one scenario over HTTP
judge       did it end as the scenario expects? (pure)
run         starts and ends the processes, and goes through the scenarios
"""
