"""What `check` says about each file of `bad/`; `python -m tests.config.goldens` writes it down anew."""

from pathlib import Path

from interlock import config

BAD = Path(__file__).parent / "bad"
ENV = {
    "CLOUD_KEY": "sk-canary-cloud-0123456789",
    "KEY_A": "ik-canary-a-0123456789",
    "KEY_B": "ik-canary-b-0123456789",
    "EMPTY": "",
    "NEWLINE": "sk-canary\nsecond-line",
    "SPACED": "sk-canary spaced",
    "NOT_A_PORT": "canary-port",
    "AWS_ID": "AKIACANARYCANARY0001",
    "AWS_TEMPORARY_ID": "ASIACANARYCANARY0001",
    "AWS_SECRET": "canary-secret-0123456789",
    "PROXY_PASSWORD": "canary-p@ss/w:rd%41",
    "HOOK_SECRET": "canary-hook-secret-0123456789",
    "SHORT_SECRET": "canary-short",
    "AWS_TOKEN": "canary-token-0123456789",
}


def said_of(file: Path) -> str:
    """Every problem of a config, as an operator reads it, with the file's bare name."""
    problems = config.check(file, ENV)
    text = "\n\n".join(f"{problem.severity}: {problem}" for problem in problems)
    return text.replace(str(file), file.name) + "\n"


if __name__ == "__main__":
    for bad in sorted(BAD.glob("*.yaml")):
        bad.with_suffix(".txt").write_text(said_of(bad), "utf-8")
