"""One self-contained page: verdict, checks, plots, measures, and every sample that was not right. No script.

Everything that comes from a suite or a model is escaped; a policy in the page itself lets nothing be loaded.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from interlock.evals.checks import POLICY_DRIFT, Finding
from interlock.evals.measures import Scored, is_amount
from interlock.evals.record import GateRecord
from interlock.evals.report.plot import Row, intervals
from interlock.stats.interval import Interval

MOST_SAMPLES: Final = 200
_MOST_TEXT: Final = 2000
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0
1rem;color:#1f2328;background:#fff} table{border-collapse:collapse;width:100%;margin:1rem
0}th,td{text-align:left;padding:.3rem .6rem; border-bottom:1px solid
#d0d7de;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}
.pass{color:#1a7f37}.fail{color:#cf222e}.inconclusive{color:#9a6700}h1 .v{text-transform:uppercase}
svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#1f2328}svg .tick{fill:#57606a}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f8fa;padding:.6rem;margin:.3rem 0}
small,.dim{color:#57606a}details{margin:.4rem 0}code{overflow-wrap:anywhere}
"""


def of_gate(
    record: GateRecord, measures: Mapping[str, tuple[Interval, Interval]], runs: Iterable[Scored]
) -> str:
    """A gate's page. `measures`: by name, the candidate's and the baseline's."""
    title = f"Gate of {record.alias}: {record.candidate.model} against {record.baseline.model}"
    body = [
        f'<h1>{escape(title)}: <span class="v {record.verdict}">{record.verdict}</span></h1>',
        f"<p>{escape(record.why)}</p>",
        _facts(
            {
                "record": record.id,
                "at": record.at,
                "by": record.by,
                "suites": ", ".join(f"{name} ({digest[:12]})" for name, digest in record.suites.items()),
                "candidate": _side(record.candidate.model, record.candidate.version, record.change.candidate),
                "baseline": _side(record.baseline.model, record.baseline.version, record.change.baseline),
                "config, policy": f"{record.config_hash}, {record.policy_hash}",
                "cases": str(record.candidate.cases),
            }
        ),
        "<h2>Checks</h2>",
        _checks(record.checks),
        *_check_plots(record.checks),
        "<h2>Measures</h2>",
        _measures_of_two(measures),
        "<h2>Samples of the candidate that were not right</h2>",
        _samples(runs),
    ]
    return _page(title, body)


def of_run(
    name: str,
    model: str,
    measures: Mapping[str, Interval],
    families: Mapping[str, Mapping[str, Interval]],
    scored: Sequence[Scored],
    confidence: float,
) -> str:
    """A run's page."""
    title = f"{name} with {model}"
    cases = len({row.sample.case for row in scored})
    ends = f"Each end of an interval holds with {confidence:.0%} confidence."
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{cases} cases, {len(scored)} samples. {ends}</p>",
        "<h2>Measures</h2>",
        *_measure_plots(measures),
        _measures(measures, families),
        "<h2>Samples that were not right</h2>",
        _samples(scored),
    ]
    return _page(title, body)


def _page(title: str, body: Iterable[str]) -> str:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _side(model: str, version: str | None, digest: str) -> str:
    return f"{model}, version {version or 'unknown'} ({digest[:12]})"


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><th>{escape(k)}</th><td><code>{escape(v)}</code></td></tr>" for k, v in facts.items()
    )
    return f"<table>{rows}</table>"


def _number(value: float | None) -> str:
    return '<span class="dim">unknown</span>' if value is None else f"{value:.4g}"


def _checks(findings: Sequence[Finding]) -> str:
    names = ("metric", "family", "verdict", "candidate", "baseline", "low", "high", "n", "power", "why")
    head = f"<tr><th>{'<th>'.join(names)}</tr>"
    rows = "".join(
        f"<tr><td>{escape(f.metric)}<td>{escape(f.family or 'all')}<td class={f.verdict}>{f.verdict}"
        f'<td class="n">{_number(f.value)}<td class="n">{_number(f.baseline)}<td class="n">{_number(f.low)}'
        f'<td class="n">{_number(f.high)}<td class="n">{f.n}'
        f'<td class="n">{"" if f.power is None else f"{f.power:.0%}"}<td>{escape(f.why)}</tr>'
        for f in findings
    )
    note = (
        "<p><small>low and high limit the candidate's value for a fixed bound, and candidate minus baseline "
        "(relative for amounts) for a paired one. power: how probably a drop of twice the margin "
        "would have been found.</small></p>"
    )
    return f"<table>{head}{rows}</table>{note}"


def _check_plots(findings: Sequence[Finding]) -> list[str]:
    """Paired checks on one scale, fixed ones on another."""
    known = [f for f in findings if f.metric != POLICY_DRIFT and f.low is not None and f.high is not None]
    paired = [f for f in known if f.bound.startswith(("drop", "rise"))]
    fixed = [f for f in known if f not in paired and not is_amount(f.metric)]
    plots = []
    if paired:
        rows = [_difference(f) for f in paired]
        plots.append(intervals("Candidate minus baseline, with the bound of each check", rows))
    if fixed:
        rows = [
            Row(label=_label(f), value=f.value, low=f.low, high=f.high, bound=_limit(f), tone=f.verdict)
            for f in fixed
        ]
        plots.append(intervals("Candidate, with the bound of each check", rows))
    return plots


def _difference(finding: Finding) -> Row:
    assert finding.low is not None
    assert finding.high is not None
    limit = _limit(finding)
    sign = -1 if finding.bound.startswith("drop") else 1
    middle = None
    if finding.value is not None and finding.baseline is not None:
        middle = finding.value - finding.baseline
        if is_amount(finding.metric):
            middle = middle / finding.baseline if finding.baseline else None
    return Row(
        label=_label(finding),
        value=middle,
        low=finding.low,
        high=finding.high,
        bound=None if limit is None else sign * limit,
        tone=finding.verdict,
    )


def _limit(finding: Finding) -> float | None:
    try:
        return float(finding.bound.rsplit(" ", 1)[-1])
    except ValueError:
        return None


def _label(finding: Finding) -> str:
    return f"{finding.metric} ({finding.family or 'all'})"


def _measure_plots(measures: Mapping[str, Interval]) -> list[str]:
    rows = [
        Row(label=name, value=found.value, low=found.low, high=found.high)
        for name, found in measures.items()
        if not is_amount(name)
    ]
    return [intervals("Measures from 0 to 1", rows)] if rows else []


def _measures(measures: Mapping[str, Interval], families: Mapping[str, Mapping[str, Interval]]) -> str:
    groups = {"all": measures, **(families if len(families) > 1 else {})}
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{escape(family)}{_cells(found)}</tr>"
        for family, group in groups.items()
        for name, found in group.items()
    )
    return f"<table><tr><th>measure<th>family<th>value<th>low<th>high<th>n</tr>{rows}</table>"


def _measures_of_two(measures: Mapping[str, tuple[Interval, Interval]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}{_cells(new)}{_cells(old)}</tr>" for name, (new, old) in measures.items()
    )
    head = "<th>value<th>low<th>high<th>n"
    return (
        f"<table><tr><th><th colspan=4>candidate<th colspan=4>baseline</tr>"
        f"<tr><th>measure{head}{head}</tr>{rows}</table>"
    )


def _cells(found: Interval) -> str:
    numbers = "".join(f'<td class="n">{_number(one)}' for one in (found.value, found.low, found.high))
    return f'{numbers}<td class="n">{found.n}'


def _samples(scored: Iterable[Scored]) -> str:
    wrong = [row for row in scored if _is_wrong(row)]
    shown = "".join(_sample(row) for row in wrong[:MOST_SAMPLES])
    more = (
        f"<p>and {len(wrong) - MOST_SAMPLES} more: see samples.jsonl</p>" if len(wrong) > MOST_SAMPLES else ""
    )
    return (shown + more) or "<p>None.</p>"


def _is_wrong(row: Scored) -> bool:
    return row.sample.state != "answered" or any(
        one.grade.missing or (one.grade.score is not None and one.grade.why != "") for one in row.grades
    )


def _sample(row: Scored) -> str:
    sample = row.sample
    grades = "".join(
        f"<li>{escape(one.measure)} ({escape(one.kind)}): {_number(one.grade.score)} "
        f"{escape(one.grade.why)}</li>"
        for one in row.grades
        if one.grade.score is not None or one.grade.missing
    )
    turns = "".join(_turn(turn) for turn in sample.turns)
    state = f"{sample.state}: {sample.error}" if sample.error else sample.state
    return (
        f"<details><summary><code>{escape(sample.case)}</code> {escape(state)}</summary>"
        f"<ul>{grades}</ul>{turns}</details>"
    )


def _turn(turn: Any) -> str:
    calls = "".join(f"\n{call.name}({call.arguments})" for call in turn.calls)
    text = (turn.text + calls) or turn.error or ""
    cut = text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…"
    return f"<pre>{escape(cut)}</pre><small>{escape(turn.decision_id)}</small>"
