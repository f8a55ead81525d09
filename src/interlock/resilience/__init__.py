"""What this process has learned of its upstreams and of itself, and what follows from it. Pure.

Every part is a small state machine that is told the instant as an argument: the breaker and the wait of
a target, the retry budget and the limits of an upstream. None of them reads a clock, waits or sends;
`execute` asks them before a call and tells them how it went. They count within one process.
"""
