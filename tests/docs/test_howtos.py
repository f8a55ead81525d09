"""Every how-to works as it stands: its files are written, its commands run, what it shows appears."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from interlock.cli.app import cli
from tests.data import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-none",
    "ANTHROPIC_API_KEY": "sk-ant-none",
    "GEMINI_API_KEY": "none",
    "AWS_ACCESS_KEY_ID": "AKIANONE",
    "AWS_SECRET_ACCESS_KEY": "none",
    "WEB_KEY": "key-of-a-test",
    "MISTRAL_API_KEY": "k-1",
    "GROQ_API_KEY": "k-2",
    "AZURE_OPENAI_API_KEY": "k-3",
    "PROXY_PASSWORD": "k-4",
    "HOOK_SECRET": "0123456789abcdef0123456789abcdef",
}


def commands(body: str) -> list[tuple[str, list[str]]]:
    """Each `$ ` line of a console block with the lines of output shown under it."""
    found: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line.strip())
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_howto_can_be_followed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for fence in FENCE.finditer(page.read_text("utf-8")):
        info, body = fence["info"], fence["body"]
        if "file=" in info:
            (tmp_path / info.split("file=")[1]).write_text(body, "utf-8")
        elif info == "console":
            for command, shown in commands(body):
                follow(command, shown)


def follow(command: str, shown: list[str]) -> None:
    command, _, note = command.partition("#")
    expected = int(note.split()[1]) if note.strip().startswith("exit") else 0
    program, *arguments = shlex.split(command)
    assert program == "interlock"
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == expected, f"{command}\n{result.output}"
    for line in shown:
        assert line in result.output, f"{command}\n{result.output}"


def test_the_documents_name_only_files_that_exist() -> None:
    for page in [*PAGES, ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
