"""Who can reach a server that asks for no keys: this machine only, or it does not run."""

from pathlib import Path

from interlock.config.checked import Config
from interlock.errors import ConfigError, Problem
from interlock.server.auth import is_loopback


def check_exposure(config: Config, host: str, config_file: Path) -> None:
    """Raises ConfigError for a config without keys on an address that others can reach."""
    if config.keys or is_loopback(host):
        return
    raise ConfigError(
        (
            Problem(
                file=str(config_file),
                path="server.host",
                problem=f"without `keys` the server listens on loopback only, not on `{host}`",
                hint="add `keys`, or set `server.host` to 127.0.0.1",
            ),
        )
    )
