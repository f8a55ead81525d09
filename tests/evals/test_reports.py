"""Reports: plots are well-formed SVG, JUnit is XML whatever a model says, and nothing of it is a script."""

import re
import xml.etree.ElementTree as ET

import msgspec

from interlock.evals.checks import Finding
from interlock.evals.graders import GRADERS
from interlock.evals.measures import Outside, measure, score, tabulate
from interlock.evals.report import html, junit
from interlock.evals.report.plot import Row, intervals
from interlock.evals.suite import Suite
from tests.evals.build import case, sample

NASTY = "a\x00\x1b[31m]]></pre><script>alert('x')</script>\U0001f600 & \"b\""


def finding(**fields):
    given = {
        "metric": "task_success", "family": None, "verdict": "pass", "value": 0.9, "baseline": 0.92,
        "low": -0.05, "high": 0.01, "n": 200, "why": "shown", "power": 0.8, "bound": "drop at most 0.1",
    }  # fmt: skip
    return Finding(**{**given, **fields})


def test_a_plot_is_well_formed_and_escapes_its_labels():
    rows = [
        Row(
            label=NASTY.replace("\x00", "").replace("\x1b", ""),
            value=0.5,
            low=0.4,
            high=0.6,
            bound=0.1,
            tone="fail",
        ),
        Row(label="unknown", value=None, low=None, high=None),
        Row(label="bare", value=-0.2, low=None, high=None, tone="inconclusive"),
    ]
    tree = ET.fromstring(intervals("<A & B>", rows))
    texts = [text for text in tree.itertext() if text.strip()]
    assert "<A & B>" in texts
    assert "not known" in texts
    assert len(tree.findall(".//circle")) == 2


def test_a_plot_of_nothing_or_of_one_point_divides_by_nothing():
    assert ET.fromstring(intervals("none", []))
    assert ET.fromstring(intervals("zero", [Row(label="a", value=0.0, low=0.0, high=0.0)]))


def test_junit_tells_failure_from_doubt_and_survives_what_xml_cannot_hold():
    found = [finding(), finding(verdict="fail", why=NASTY), finding(verdict="inconclusive")]
    suite = ET.fromstring(junit.of_gate("gate", found, "fail", "why"))
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "2", "1")
    assert [[child.tag for child in test] for test in suite.iter("testcase")] == [
        [],
        ["failure"],
        ["error"],
        ["failure"],
    ]


def test_a_gate_without_checks_is_no_green_suite():
    suite = ET.fromstring(junit.of_gate("gate", [], "inconclusive", "no checks"))
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")


def test_a_page_holds_what_a_model_said_as_text_only():
    spec = GRADERS["exact"].spec(kind="exact")
    suite = Suite(name=NASTY, cases=(case({"answer": "yes"}),), graders=(spec,))
    scored = score(suite, [sample(NASTY)], Outside())
    table = tabulate(scored)
    page = html.of_run(
        suite.name, "m", measure(table, 0.95), {"triage": measure(table, 0.95, "triage")}, scored, 0.95
    )
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert re.findall(r"(?:src|href)=", page) == []
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ET.fromstring(svg)
    assert msgspec.json.encode(scored)
