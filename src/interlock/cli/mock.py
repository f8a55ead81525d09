"""`interlock mock`: a provider on this machine that answers deterministically and fails on request."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli.context import common
from interlock.cli.output import UNREACHED, Stop, note, say, table, write_json

if TYPE_CHECKING:
    from interlock.mock import Mock, Plan, Received, Script
    from interlock.mock.recording import Recordings


@click.command("mock")
@common
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8081, show_default=True, help="0: a free one.")
@click.option("--script", type=click.Path(path_type=Path), metavar="FILE", help="Which requests get what.")
@click.option(
    "--recordings", type=click.Path(path_type=Path), metavar="FILE", help="Recorded calls to answer again."
)
@click.option("--faults", is_flag=True, help="List the faults that it knows, and end.")
@click.option("--check", is_flag=True, help="Read script and recordings, and end.")
def command(
    config_file: Path | None,
    as_json: bool,
    host: str,
    port: int,
    script: Path | None,
    recordings: Path | None,
    faults: bool,
    check: bool,
) -> None:
    """Answer as OpenAI, Azure, Anthropic, Gemini and Bedrock would, and fail as they do, without an account.

    A script says which requests fail and how. A request can ask for a fault itself: as its model
    (`fault:reset`, `fault:status=429,retry_after=2`) or in the header `x-mock`. A fault that makes no
    sense where it is asked for is answered with an error that says why. It keeps no secrets and checks
    no key; Bedrock's requests have to bring one. Ends with Ctrl-C.
    """
    from interlock.mock import Script, read_script
    from interlock.mock.recording import Recordings, read_recordings

    if config_file is not None:
        raise Stop("the mock has no config", where="--config", hint="its file is --script")
    if faults:
        _list_faults(as_json=as_json)
        return
    known = read_script(script) if script is not None else Script()
    recorded = read_recordings(recordings) if recordings is not None else Recordings(())
    if check:
        if as_json:
            write_json({"ok": True})
        else:
            note("script and recordings can be used")
        return
    try:
        asyncio.run(_serve(known, recorded, host, port, as_json=as_json))
    except OSError as error:
        problem = f"cannot listen on {host}:{port}: {error.strerror}"
        raise Stop(problem, hint="--port 0 takes a free port", status=UNREACHED) from None
    except KeyboardInterrupt:
        note("stopped")


def _list_faults(*, as_json: bool) -> None:
    from interlock.mock.faults import FAULTS, without

    if as_json:
        for name, fault in FAULTS.items():
            write_json(
                {"fault": name, "about": fault.about, "kinds": fault.asked_for, "not_on": without(name)}
            )
    else:
        rows = [
            (
                name,
                fault.about,
                "all" if fault.for_all else ", ".join(fault.asked_for),
                ", ".join(without(name)),
            )
            for name, fault in FAULTS.items()
        ]
        table(("fault", "what the answer is like", "for", "makes no sense on"), rows)


async def _serve(script: "Script", recordings: "Recordings", host: str, port: int, *, as_json: bool) -> None:
    from interlock.mock import Answering, Mock

    def tell(request: "Received", plan: "Plan") -> None:
        asked = {
            "method": request.method,
            "path": request.path,
            "model": request.model,
            "stream": request.stream,
        }
        if as_json:
            write_json({**asked, "answer": _first_line(plan)})
            sys.stdout.flush()  # whoever reads along wants it now
        else:
            say(f"{request.method} {request.path}  {request.model or '-'}  {_first_line(plan)}")

    async with Mock(Answering(script, recordings), host=host, port=port, tell=tell) as mock:
        note(f"listening on {mock.url}: give OpenAI's SDK {mock.url}/v1, any other {mock.url}")
        outages = [_refuse(mock, outage.from_s, outage.for_s) for outage in script.outages]
        await asyncio.gather(asyncio.Event().wait(), *outages)


async def _refuse(mock: "Mock", from_s: float, for_s: float) -> None:
    await asyncio.sleep(from_s)
    await mock.refuse()
    note(f"refusing connections for {for_s:g} s")
    await asyncio.sleep(for_s)
    await mock.listen()
    note("accepting connections again")


def _first_line(plan: "Plan") -> str:
    """How an answer begins, for people: its status, or that there is none."""
    head = next((move for move in plan if isinstance(move, bytes)), b"")
    return head.partition(b"\r\n")[0].decode("latin-1") if head else "no answer"
