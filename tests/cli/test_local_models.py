"""Local models as child processes, with a fake model in the child: no weights are needed."""

import http.server
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from interlock import local_models
from interlock.config.checked import Config, Deployment, Provider
from interlock.local_models import LocalModelError
from tests.data import ROOT

FAKE = "tests.cli.fake_model"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "src")]))


@pytest.fixture
def port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def config(*rows):
    providers = {
        name: Provider(
            name=name,
            kind="openai",
            vendor=name,
            local_model=model,
            deployments=(Deployment(id=name, provider=name, base_url=base_url),),
        )
        for name, model, base_url in rows
    }
    return Config(providers=providers, models={})


def here(port, model="smollm2-135m"):
    return config(("onprem", model, f"http://127.0.0.1:{port}/v1"))


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def gone(pid):
    """Whether a process has ended; one that is not our child cannot be waited for."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_a_model_is_started_answers_and_is_stopped_by_its_own_pid(port):
    said: list[str] = []
    running = local_models.start(here(port), say=said.append, module=FAKE)
    try:
        (pid,) = running.pids
        assert listens(port)
        assert said == [
            f"starting smollm2-135m at http://127.0.0.1:{port}/v1",
            f"smollm2-135m is ready (process {pid})",
        ]
    finally:
        running.stop()
    assert not listens(port)
    assert gone(pid)
    assert running.pids == ()


def test_stop_may_be_called_twice(port):
    running = local_models.start(here(port), module=FAKE)
    running.stop()
    running.stop()


def test_a_model_that_answers_already_is_left_to_whoever_runs_it(port):
    first = local_models.start(here(port), module=FAKE)
    try:
        said: list[str] = []
        second = local_models.start(here(port), say=said.append, module=FAKE)
        assert second.pids == ()
        assert said == [f"smollm2-135m already answers at http://127.0.0.1:{port}/v1"]
        second.stop()
        assert listens(port)
    finally:
        first.stop()


def test_a_child_that_dies_is_reported_with_its_last_words_and_the_others_are_stopped(port):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        second = other.getsockname()[1]
    both = config(
        ("a", "smollm2-135m", f"http://127.0.0.1:{port}/v1"),
        ("b", "smollm2-135m-8k", f"http://127.0.0.1:{second}/v1"),
    )
    with pytest.raises(LocalModelError, match=r"`smollm2-135m-8k` ended with status 1.*no weights for you"):
        local_models.start(both, module=FAKE)
    assert not listens(port)


def test_a_child_ends_when_its_parent_is_killed(port):
    """The parent is a process of its own, so that it can be killed with no chance to clean up."""
    script = (
        "import sys\n"
        "from tests.cli.test_local_models import FAKE, here\n"
        "from interlock import local_models\n"
        f"running = local_models.start(here({port}), module=FAKE)\n"
        "print(running.pids[0], flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    assert gone(child)


def test_a_child_gets_no_key_of_a_provider(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    assert "sk-canary" not in local_models._environment().values()


def test_another_server_on_the_port_is_not_taken_for_a_model(port):
    class NotFound(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", port), NotFound)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(LocalModelError, match="something else answers there") as caught:
            local_models.start(here(port), module=FAKE)
        assert caught.value.hint == "choose another port in the base_url"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("model", "base_url", "problem", "hint"),
    [
        (
            "gpt-9",
            "http://127.0.0.1:8081/v1",
            "providers.onprem.local_model: no local model is called `gpt-9`",
            "known are `smollm2-135m`, `smollm2-135m-8k`",
        ),
        (
            "smollm2-135m",
            "http://10.0.0.7:8081/v1",
            "providers.onprem: a local model is served on this machine only, not at http://10.0.0.7:8081/v1",
            "use a base_url like http://127.0.0.1:8081/v1",
        ),
        (
            "smollm2-135m",
            "http://127.0.0.1/v1",
            "providers.onprem: a local model is served on this machine only, not at http://127.0.0.1/v1",
            "use a base_url like http://127.0.0.1:8081/v1",
        ),
    ],
    ids=["unknown name", "another machine", "no port"],
)
def test_a_local_model_that_cannot_be_run_is_an_error_with_a_hint(model, base_url, problem, hint):
    with pytest.raises(LocalModelError) as caught:
        local_models.wanted(config(("onprem", model, base_url)))
    assert (caught.value.problem, caught.value.hint) == (problem, hint)


def test_missing_weights_are_an_error_that_says_how_to_get_them(monkeypatch, port):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(LocalModelError, match="the weights of `smollm2-135m` are not installed") as caught:
        local_models.start(here(port))
    assert "make demo" in caught.value.hint


def test_a_config_without_local_models_starts_nothing():
    assert local_models.start(config(("openai", None, "https://api.openai.com/v1"))).pids == ()
