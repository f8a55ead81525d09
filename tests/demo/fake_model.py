"""Stands in for a local model: an OpenAI-compatible server that needs no weights and always answers.

Run as `python -m tests.demo.fake_model NAME PORT`, like `interlock.local_models`; it ends with its stdin.
"""

import http.server
import json
import os
import sys
import threading
import time

USAGE = {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._send(b"{}", "application/json")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = "an answer"
        if "response_format" in body:
            schema = body["response_format"]["json_schema"]["schema"]["properties"]
            text = json.dumps({name: spec.get("enum", ["x"])[0] for name, spec in schema.items()})
        head = {"id": "c1", "created": int(time.time()), "model": body["model"]}
        if not body.get("stream"):
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            answer = {**head, "object": "chat.completion", "choices": [choice], "usage": USAGE}
            self._send(json.dumps(answer).encode(), "application/json")
            return
        events: list[dict[str, object]] = [
            {
                "choices": [
                    {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
                ]
            },
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": USAGE},
        ]
        lines = [json.dumps({**head, "object": "chat.completion.chunk", **event}) for event in events]
        self._send("".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode(), "text/event-stream")

    def _send(self, data, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()
    os._exit(0)
