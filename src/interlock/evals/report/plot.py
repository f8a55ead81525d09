"""Plots as inline SVG: an interval is a dot with a line through it, a bound a dashed line. No script, no
fonts.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

from msgspec import Struct

_WIDTH: Final = 640
_LABEL: Final = 230
_RIGHT: Final = 24
_ROW: Final = 26
_TOP: Final = 22
_COLOURS: Final = {"pass": "#1a7f37", "fail": "#cf222e", "inconclusive": "#9a6700", "": "#0969da"}


class Row(Struct, frozen=True, kw_only=True):
    """One interval. `tone` is a verdict, for its colour; `bound` is drawn where there is one."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    bound: float | None = None
    tone: str = ""


def intervals(title: str, rows: Sequence[Row]) -> str:
    """Rows on one scale, each with its own words in a tooltip. Rows without a value say so."""
    numbers = [
        number for row in rows for number in (row.value, row.low, row.high, row.bound) if number is not None
    ]
    low, high = (min([*numbers, 0.0]), max([*numbers, 0.0])) if numbers else (0.0, 1.0)
    if high - low <= 0:
        high = low + 1
    height = _TOP + _ROW * len(rows) + 24

    def x(number: float) -> str:
        span = _WIDTH - _LABEL - _RIGHT
        return f"{_LABEL + span * (number - low) / (high - low):.1f}"

    base = _TOP + _ROW * len(rows)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f'<line x1="{x(0)}" x2="{x(0)}" y1="{_TOP - 8}" y2="{base}" stroke="#d0d7de"/>',
        *(_row(row, place, x) for place, row in enumerate(rows)),
        f'<text x="{x(low)}" y="{base + 16}" class="tick">{low:.3g}</text>',
        f'<text x="{x(high)}" y="{base + 16}" class="tick" text-anchor="end">{high:.3g}</text>',
        "</svg>",
    ]
    return "\n".join(parts)


def _row(row: Row, place: int, x: object) -> str:
    assert callable(x)
    y = _TOP + _ROW * place + _ROW / 2
    colour = _COLOURS.get(row.tone, _COLOURS[""])
    label = row.label if len(row.label) <= 34 else row.label[:33] + "…"
    parts = [
        f"<g><title>{escape(_words(row))}</title>",
        f'<text x="{_LABEL - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>',
    ]
    if row.value is None:
        parts.append(f'<text x="{_LABEL}" y="{y + 4:.1f}" class="tick">not known</text>')
    else:
        if row.low is not None and row.high is not None:
            ends = f'x1="{x(row.low)}" x2="{x(row.high)}"'
            parts.append(f'<line {ends} y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<circle cx="{x(row.value)}" cy="{y:.1f}" r="4" fill="{colour}"/>')
    if row.bound is not None:
        at = x(row.bound)
        parts.append(
            f'<line x1="{at}" x2="{at}" y1="{y - 10:.1f}" y2="{y + 10:.1f}" stroke="#57606a" '
            'stroke-dasharray="3 2"/>'
        )
    return "".join([*parts, "</g>"])


def _words(row: Row) -> str:
    if row.value is None:
        return f"{row.label}: not known"
    ends = f", from {row.low:.4g} to {row.high:.4g}" if row.low is not None and row.high is not None else ""
    return f"{row.label}: {row.value:.4g}{ends}"
