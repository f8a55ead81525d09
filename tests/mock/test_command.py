"""`interlock mock` as a process: it says where it listens, answers, tells what came, and ends."""

import asyncio
import json
import signal
import subprocess
import sys

from click.testing import CliRunner

from interlock.cli.app import cli
from interlock.mock.faults import ABOUT
from tests.mock.raw import chat, exchange

RUN = "from interlock.cli import main; main()"


async def test_it_serves_until_it_is_interrupted(tmp_path):
    script = tmp_path / "faults.yaml"
    script.write_text("rules: [{times: 1, then: {status: 503}}]\noutages: [{from_s: 0, for_s: 0.01}]\n")
    command = [sys.executable, "-c", RUN, "mock", "--port", "0", "--script", str(script), "--json"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert process.stdout is not None
        said = (await process.stderr.readline()).decode()
        port = int(said.partition("127.0.0.1:")[2].partition(":")[0])
        while b"again" not in await process.stderr.readline():
            pass
        assert (await exchange(port, chat()))[0].startswith(b"HTTP/1.1 503")
        assert (await exchange(port, chat()))[0].startswith(b"HTTP/1.1 200")
        lines = [json.loads(await process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 10)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    assert [line["answer"] for line in lines] == ["HTTP/1.1 503 Mock", "HTTP/1.1 200 Mock"]
    assert {line["path"] for line in lines} == {"/v1/chat/completions"}


def test_the_faults_are_listed_and_a_script_is_checked(tmp_path):
    runner = CliRunner()
    listed = runner.invoke(cli, ["mock", "--faults"]).output
    assert all(name in listed and about in listed for name, about in ABOUT.items())
    rows = runner.invoke(cli, ["mock", "--faults", "--json"]).output.splitlines()
    assert [json.loads(row)["fault"] for row in rows] == list(ABOUT)
    (tmp_path / "good.yaml").write_text("default: {text: hi}\n")
    assert runner.invoke(cli, ["mock", "--check", "--script", str(tmp_path / "good.yaml")]).exit_code == 0
    (tmp_path / "bad.yaml").write_text("rules: 7\n")
    refused = runner.invoke(cli, ["mock", "--check", "--script", str(tmp_path / "bad.yaml"), "--json"])
    assert refused.exit_code == 2
    assert json.loads(refused.output)["error"]["problems"]


def test_a_port_that_is_taken_is_said():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(cli, ["mock", "--port", port])
    assert result.exit_code == 3
    assert f"cannot listen on 127.0.0.1:{port}" in result.output
