"""What Interlock costs: next to a plain proxy, per decision, and to start. `make bench` runs it all."""
