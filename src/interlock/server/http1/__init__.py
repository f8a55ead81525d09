"""Our HTTP/1.1 server: sockets of callers in, `Call`s out, answers back in the order of the requests.

It knows no routes, keys or dialects: an `App` admits a call when its head is here, serves it when its body
is, and words every refusal. httptools does the grammar (it refuses what two parsers could read differently);
sizes, times and the order of pipelined requests are judged here. No TLS, no HTTP/2, no upgrades.
"""

from interlock.server.http1.call import App, Call, field
from interlock.server.http1.listener import Listener

__all__ = ["App", "Call", "Listener", "field"]
