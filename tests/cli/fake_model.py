"""Stands in for `interlock.local_models` as a child: `python -m tests.cli.fake_model NAME PORT`.

NAME says how it behaves: one that contains `8k` dies as it starts; every other answers, slowly at first.
"""

import http.server
import os
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    ready_at = time.monotonic() + 0.2

    def do_GET(self):
        self.send_response(200 if time.monotonic() > self.ready_at else 503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    if "8k" in sys.argv[1]:
        sys.exit("no weights for you")
    server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()
    os._exit(0)
