"""The HTTP server: a plain ASGI application, who may call what, and the processes that run it.

It decides nothing about models: it authenticates, reads, asks `route`, lets `execute` act, records,
and answers.
"""
