"""C15: text that is made to be expensive costs in proportion to its length, whatever it is made of.

CPU time of this thread is compared with itself at two lengths; no figure of a machine is asserted.
"""

import itertools
import json
import random
import time
from collections.abc import Callable

import pytest

from interlock.classify import classify
from interlock.classify.detect import scan
from interlock.classify.findings import MOST_COUNTED, find
from interlock.dialects import DIALECTS
from interlock.route.snapshot import snapshot
from interlock.server.content import mask
from interlock.types.signals import Finding
from tests.classify.build import CALLER, CARD, CONFIG, IBAN, SECRET, ask, reading
from tests.route import pool

# What patterns, separators, disguises and wrappings begin with or are full of; each is repeated to a length.
PUMPED = (
    *(
        "4",
        "4 ",
        "4,,,",
        "4 , ",
        "0 ",
        "1.1.",
        f"{CARD} ",
        f"{CARD}, ",
        "4111 1111 1111 1112, ",
        "4" * 32 + "a ",
    ),
    *("123-45-6789 ", "ssn ", "card ", "visa 4", "+1 2", "+1 212 555 0100 ", "(212) 555-0100 "),
    *(
        f"{IBAN} ",
        "DE89 ",
        "GB82WEST",
        "a@b.cc ",
        "a@",
        "a.",
        "-",
        "_",
        ".",
        "\n",
        " ",
        "{",
        "[](",
        '"',
        "\\",
    ),
    *("password=", "password=hunter2x1 ", "token=", "token: a1b2c3d4e5f6g7h8 ", "token_", "secret.key."),
    *(
        f"{SECRET} ",
        "sk-",
        "ghp_",
        "xoxb-",
        "xoxb-1234567890-abcdefghijkl ",
        "eyAAAAAAAAAA.",
        "0123456789abcdef",
    ),
    *("-----BEGIN PRIVATE KEY-----", "-----BEGIN A PRIVATE KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAA\n", "A"),
    *("a://b:", "postgres://u:pw1pw@h ", "curl ", "curl -u a:b1c2d3e4 ", "authorization: bearer abcdefgh1 "),
    *(
        "kind: secret\n",
        "data:\n a: QUFBQUFBQUFB\n",
        'password" value="abcd',
        "BUNDLE_A__COM",
        "datadog_key= ",
    ),
    *(
        "QUFB",
        "QUJDREVGR0hJSktMTU5PUFFSU1Q= ",
        "%41",
        "%41 ",
        "%2541",
        "\\x41",
        "\\u0041 ",
        "&#52;",
        "&#52;\n",
    ),
    *("4\u200b", "\uff14", "\uff14 ", "\u0301", "é", "😀", "一", "think very ", "step-by-"),
)


def pumped(atom: str, length: int) -> str:
    return (atom * (length // len(atom) + 1))[:length]


def cpu_s(work: Callable[[], object]) -> float:
    """The least of three: what else the machine does only ever adds."""
    costs = []
    for _ in range(3):
        start = time.thread_time()
        work()
        costs.append(time.thread_time() - start)
    return min(costs)


def growth(work: Callable[[str], object], atom: str, short: int, factor: int) -> float:
    """How much more the longer text costs; what is too little to measure counts as a millisecond."""
    small, large = pumped(atom, short), pumped(atom, short * factor)
    work(small)
    return max(cpu_s(lambda: work(large)), 0.001) / max(cpu_s(lambda: work(small)), 0.001)


nobody = itertools.count()


def looked_at(text: str) -> tuple[Finding, ...]:
    """What is found by somebody who has never seen it."""
    return find(ask(text), reading(ask(text), f"nobody {next(nobody)}"))


@pytest.mark.parametrize("atom", PUMPED)
def test_c15_a_pumped_text_costs_in_proportion_to_its_length(atom):
    """8 times as long: 64 times as much would be quadratic."""
    assert growth(looked_at, atom, 4_000, 8) < 24


@pytest.mark.parametrize("atom", PUMPED)
def test_c15_so_does_what_is_masked_for_the_record(atom):
    assert growth(mask, atom, 1_000, 8) < 24


@pytest.mark.long
@pytest.mark.parametrize("atom", PUMPED)
def test_c15_a_megabyte_costs_at_most_ten_times_a_tenth_of_it(atom):
    """And a little for what a measurement is worth."""
    assert growth(looked_at, atom, 100_000, 10) < 12


@pytest.mark.long
@pytest.mark.parametrize("seed", range(200))
def test_c15_mixtures_of_pumped_texts_stay_linear_too(seed):
    draw = random.Random(seed)
    atom = "".join(draw.choices(PUMPED, k=draw.randrange(2, 5)))
    assert growth(looked_at, atom, 20_000, 8) < 16


@pytest.mark.parametrize(
    "fields",
    [
        lambda n: {"messages": [{"role": "user", "content": "hi 4"}] * (n // 35)},
        lambda n: {"messages": [{"role": "user", "content": [{"type": "text", "text": "4111"}] * (n // 30)}]},
        lambda n: {"tools": [tool(f"t{number}", {}) for number in range(n // 75)]},
        lambda n: {"tools": [tool("t", {"properties": {f"p{number}": {} for number in range(n // 12)}})]},
        lambda n: {f"x{number}": 1 for number in range(n // 10)},
        lambda n: {"metadata": {f"x{number}": "1" for number in range(n // 12)}},
        lambda n: {"stop": ["x" * n]},
        lambda n: {"user": "4 " * (n // 2)},
        lambda n: {"model": "m" * n},
        lambda n: {"messages": [{"role": "user", "content": "\\u0041" * (n // 6)}]},
    ],
    ids=["messages", "parts", "tools", "schema", "fields", "metadata", "stop", "user", "model", "escapes"],
)
def test_c15_reading_and_classifying_a_request_is_linear_in_its_parts(fields):
    def judged(text: str) -> None:
        body = json.dumps(
            {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields(len(text))}
        )
        request = DIALECTS["openai-chat"].decode_request(body.encode(), {})
        classify(request, CALLER, CONFIG, endpoint="/v1/chat/completions", hour_utc=1)

    assert growth(judged, "x", 8_000, 8) < 24


RULES = (
    pool.rule("tools", {"tools": ["t1", "other"]}, deny_tools=["t2"]),
    pool.rule("effects", {"tool_effect": "critical"}, require_approval=["critical"]),
    pool.rule("workflow", {"metadata": {"workflow": ["a", "b"]}}, max_tool_calls=3),
    pool.rule("session", {"session": {"not": "x"}}, max_attempts=2),
)


@pytest.mark.parametrize(
    "signals",
    [
        lambda n: {"tools": tuple(f"t{number}" for number in range(n // 10))},
        lambda n: {"metadata": {"workflow": "a" * n}},
        lambda n: {"session": "s" * n},
        lambda n: {"residency": tuple(f"r{number}" for number in range(n // 10))},
    ],
    ids=["tools", "metadata", "session", "residency"],
)
def test_c15_ruling_and_routing_are_linear_in_what_the_caller_can_make_long(signals):
    made = snapshot(pool.config(*RULES))
    assert growth(lambda text: pool.run(pool.ask(**signals(len(text))), made=made), "x", 8_000, 8) < 24


def tool(name: str, parameters: object) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


# --- what is given up for that, and what is not -------------------------------------------------


def test_of_one_kind_so_many_are_counted_and_every_other_kind_is_still_found():
    text = "a@b.cc " * (MOST_COUNTED + 500) + SECRET + f" {CARD}"
    assert {finding.kind: finding.count for finding in looked_at(text)} == {
        "email": MOST_COUNTED,
        "secret.aws_access_key": 1,
        "card": 1,
    }


def test_numbers_that_fail_their_check_do_not_hide_the_one_that_passes():
    text = "4111 1111 1111 1112, " * (3 * MOST_COUNTED) + CARD
    assert [hit.kind for hit in scan(text, most=MOST_COUNTED)] == ["card"]


def test_what_is_masked_is_masked_to_the_end():
    text = "a@b.cc " * (MOST_COUNTED + 500)
    assert mask(text) == "[email] " * (MOST_COUNTED + 500)


@pytest.mark.parametrize("place", [0, 1, 999, 2999])
@pytest.mark.parametrize(
    ("filler", "wrapped"),
    [
        ("%41", "%34111-1111-1111-1111"),
        ("\\x41", "\\x34111-1111-1111-1111"),
        ("&#65;\n", "&#52;111 1111 1111 1111\n"),
        ("QUJDREVGR0hJSktMTU5PUFFSU1Q=", "NDExMSAxMTExIDExMTEgMTExMQ=="),
    ],
)
def test_among_thousands_of_wrapped_runs_the_one_with_something_in_it_is_found(filler, wrapped, place):
    runs = [filler] * 3000
    runs[place] = wrapped
    text = " ".join(runs)
    (hit,) = scan(text)
    assert (hit.kind, text[hit.start : hit.end].strip()) == ("card", wrapped.strip())


@pytest.mark.parametrize("atom", PUMPED)
def test_text_with_other_letters_in_it_is_searched_as_ascii_is(atom):
    text = pumped(atom, 600) if atom.isascii() else "4111 1111 1111 1111 "
    odd = f"\u4e00\n\n\n\n{text}"
    assert [(hit.kind, hit.start + 5, hit.end + 5) for hit in scan(f"{text}\n")] == [
        (hit.kind, hit.start, hit.end) for hit in scan(f"{odd}\n")
    ]
