"""Detectors against answers that people have labelled: figures for the bench and for tests.

Rows come in as the data sets have them; where they lie is the caller's business.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from interlock.evals.cited import markers
from interlock.evals.refusals import find_refusal

Rows = Iterable[Mapping[str, Any]]

HELD_OUT = ("gpt4", "llama2new", "mistralguard")
"""Models of whose answers to XSTest nobody has read one, only these figures."""


class Labelled(NamedTuple):
    """A question, its answer, and whether people call it a refusal."""

    question: str
    answer: str
    refused: bool


class Score(NamedTuple):
    f1: float
    precision: float
    recall: float
    n: int


def pyrit(rows: Rows) -> list[Labelled]:
    """PyRIT's rows: an answer to another question than the one that was asked is a refusal there."""
    return [Labelled(row["objective"], row["assistant_response"], row["human_score"] == "1") for row in rows]


def xstest(rows: Rows) -> list[Labelled]:
    """XSTest's rows, full refusals against full answers; those that people call partial are left out."""
    labels = {"1_full_compliance": False, "2_full_refusal": True}
    return [
        Labelled(row["prompt"], row["completion"], labels[row["final_label"]])
        for row in rows
        if row["final_label"] in labels
    ]


def score(labelled: Sequence[Labelled], *, with_question: bool) -> Score:
    """The detector's precision, recall and their harmonic mean, with the question given or on text alone."""
    found = [
        (find_refusal(row.answer, row.question if with_question else None) is not None, row.refused)
        for row in labelled
    ]
    right = sum(got and refused for got, refused in found)
    precision = right / max(sum(got for got, _ in found), 1)
    recall = right / max(sum(refused for _, refused in found), 1)
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return Score(f1, precision, recall, len(found))


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """How often a good one has the higher score than a bad one, ties counting half (Mann & Whitney)."""
    good = [score for score, label in zip(scores, labels, strict=True) if label]
    bad = [score for score, label in zip(scores, labels, strict=True) if not label]
    wins = sum((g > b) + 0.5 * (g == b) for g in good for b in bad)
    return wins / (len(good) * len(bad))


def citation_auc(rows: Rows) -> tuple[float, int]:
    """Does a marker tell claims that sources support, as experts judged, from others? The area under the
    curve, and how many claims were judged.
    """
    judged = [
        claim
        for row in rows
        for claim in row["claims"]
        if claim["support"] in ("Complete", "Partial", "Incomplete", "Missing")
    ]
    cited = [float(bool(markers(claim["claim"]))) for claim in judged]
    return auc(cited, [claim["support"] in ("Complete", "Partial") for claim in judged]), len(judged)
