"""A provider on loopback that answers deterministically and fails on request: `interlock mock`.

What it sends for a request is a plan, a tuple of moves, and every plan is made by pure functions:

    script    the file as written: which requests get which behaviour
    asked     what a request asks for, whatever the wire
    said      what the answer says, whatever the wire: text, calls of tools, usage
    wires     the vendors' wires, a module each: requests read, that answer written whole or as events, errors
    draft     status, headers, pieces, timing and ending, and the moves that they come to
    faults    everything that can be wrong, by name
    answering    a request through all of these; recorded answers
    server    raw sockets: reads requests, makes the moves, counts

    async with Mock(Answering(read_script(...))) as mock:
        ...  # mock.url, mock.received

It knows nothing of the gateway and shares nothing with it but the way in which files are read.
"""

from interlock.mock.answering import Answering
from interlock.mock.moves import Close, Hang, Move, Pause, Plan, Refuse, Repeat, Reset
from interlock.mock.request import Received
from interlock.mock.script import Behaviour, Rule, Script, When, read_script
from interlock.mock.server import Mock

__all__ = [
    "Answering",
    "Behaviour",
    "Close",
    "Hang",
    "Mock",
    "Move",
    "Pause",
    "Plan",
    "Received",
    "Refuse",
    "Repeat",
    "Reset",
    "Rule",
    "Script",
    "When",
    "read_script",
]
