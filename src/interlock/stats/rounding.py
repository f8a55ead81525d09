"""Rounding to some decimals without writing a number out and reading it again."""

from typing import Final

_SCALES: Final = tuple(float(10**places) for places in range(10))
_NO_FRACTION: Final = 1.5 * 2**52
"""Added to a float, it leaves no bit for a fraction: what is taken away again is the nearest whole number."""
_MOST: Final = 2.0**51
"""Below it, halves are floats too."""


def rounded(value: float, places: int) -> float:
    """What `round(value, places)` gives, for at most nine decimals.

    A product is on the same side of a half as what it is rounded from, unless it is that half itself. So the
    nearest whole number is the right one, and its quotient the nearest float, as reading decimals would give.
    """
    scale = _SCALES[places]
    product = value * scale
    whole = product + _NO_FRACTION - _NO_FRACTION
    if 0.0 < product < _MOST and -0.5 < product - whole < 0.5:
        return whole / scale
    return round(value, places)


def milliseconds(seconds: float) -> float:
    """A length of time in milliseconds, to the microsecond that `round` would give."""
    return (seconds * 1e6 + _NO_FRACTION - _NO_FRACTION) / 1e3
