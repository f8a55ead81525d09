"""What every command starts from: its common options, the config they lead to, and the store it names."""

import getpass
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from interlock.cli.output import Stop

if TYPE_CHECKING:
    from interlock.config import Loaded
    from interlock.store.sqlite import Store

DEFAULT_CONFIG: Final = Path("interlock.yaml")
VARIABLE: Final = "INTERLOCK_CONFIG"
F = TypeVar("F", bound=Callable[..., Any])


def common(function: F) -> F:
    """The options of every command: --config FILE and --json, as `config_file` and `as_json`."""
    with_json = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
    with_config = click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"The config (default: ./{DEFAULT_CONFIG}, then ${VARIABLE}).",
    )
    return with_config(with_json(function))


def find_config(config_file: Path | None) -> Path:
    """The config that --config, the folder or the environment names. Raises Stop where there is none."""
    if config_file is None and not DEFAULT_CONFIG.exists() and VARIABLE in os.environ:
        config_file = Path(os.environ[VARIABLE])
    if config_file is None:
        config_file = DEFAULT_CONFIG
    if not config_file.is_file():
        raise Stop(
            "there is no such file",
            where=str(config_file),
            hint=f"`interlock init` writes one; --config or ${VARIABLE} names another",
        )
    return config_file


def load_config(config_file: Path | None) -> "Loaded":
    """The checked config with its secrets. Raises ConfigError with every problem."""
    from interlock.config import load

    return load(find_config(config_file), os.environ)


@contextmanager
def opened(loaded: "Loaded") -> Iterator["Store"]:
    """The store that a config names, with the file's aliases in it; made where there is none yet."""
    from interlock.evals.identity import identity_text
    from interlock.store.sqlite import Store

    config = loaded.config
    store = Store.open(config.store.url, base=loaded.path.parent, now=now_us)
    try:
        known = {name: identity_text(config, name) for name in config.models}
        store.seed_aliases(config.aliases, now=now_us(), by=actor(), identities=known)
        yield store
    finally:
        store.close()


def now_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


def actor() -> str:
    """Who the control log names for a change from the command line."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a user without a name, as in many containers
        return f"cli:{os.getuid()}"
