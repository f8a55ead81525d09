"""`python -m interlock.cli`: the command line where the script is not on the path."""

from interlock.cli import main

main()
