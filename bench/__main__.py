"""All benches, one after another, and a summary: `python -m bench [NAME]... [--rounds N] [--seconds S]`.

Exit status 1 if a measurement went wrong (an error, a missing record). A bar that is missed is said, and is
no failure: one run on a busy machine is no judgement. `bench/transport.py` measures our HTTP client alone.
"""

import argparse
import importlib
import os
import platform
import sys
from pathlib import Path
from typing import Final

from bench.lab import Line, NotMeasured, Wrong

BENCHES: Final = {
    "gateway": "A request, next to a plain proxy",
    "decide": "A decision, by length of prompt",
    "store": "A record, by how many wait at a time",
    "start": "Start of the server",
    "streams": "Memory: open streams, and a soak",
    "rollback": "A rollback, until no worker decides as before",
    "proofs": "Releases: gates, canaries, and real models behind both",
    "beside": "Callers beside others who misbehave",
    "giants": "Callers beside giant bodies",
}


def run(name: str, options: dict[str, float]) -> tuple[list[Line], bool]:
    """One bench: its lines for the summary, and whether they can be believed."""
    print(f"== {BENCHES[name]}")
    measure = importlib.import_module(f"bench.{name}").measure
    try:
        return measure(**options), True
    except NotMeasured as reason:
        return [Line(name=name, value="not measured", verdict=str(reason))], True
    except Wrong as fault:
        return [Line(name=name, value="FAILED", verdict=str(fault))], False
    finally:
        print(flush=True)


def interpreter() -> str:
    """What runs the gateway; an interpreter in a library of its own calls itself through a table."""
    shared = "libpython" in Path("/proc/self/maps").read_text("utf-8")
    how = "as a shared library, some per cent slower" if shared else "linked into the program"
    return f"CPython {platform.python_version()}, {platform.python_compiler()}, {how}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], default=[], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5, help="of the gateway bench")
    parser.add_argument("--soak", type=float, default=600, help="seconds of the soak of the streams bench")
    parser.add_argument("--flips", type=int, default=20, help="of the rollback bench")
    parser.add_argument("--seconds", type=float, default=1.0, help="of one run of the gateway bench")
    parser.add_argument("--seeds", type=int, default=10, help="releases of a real model, of each kind")
    given = parser.parse_args()
    print(f"{interpreter()}\n")
    lines: list[Line] = []
    believed = True
    load, _, _ = os.getloadavg()
    if load > 1:
        print(f"the machine is busy (load {load:.1f}): trust ratios, and those only roughly\n")
    for name in given.names or BENCHES:
        options = {
            "gateway": {"rounds": given.rounds, "seconds": given.seconds},
            "streams": {"soak_s": given.soak},
            "rollback": {"flips": given.flips},
            "proofs": {"seeds": given.seeds},
        }.get(name, {})
        found, good = run(name, options)
        lines += found
        believed = believed and good
    print("== Summary")
    for line in lines:
        print(f"{line.name:40} {line.value:>24}  {line.verdict}")
    return 0 if believed else 1


if __name__ == "__main__":
    sys.exit(main())
