"""Citation markers on real answers of answering systems, against what experts said of them."""

from bench.labelled import auc, citation_auc
from interlock.evals.cited import check_citations, markers
from tests.data import rows


def test_a_marker_tells_supported_claims_from_others_with_the_auc_that_is_reported(record_property):
    """Experts judged whether sources support each claim. A marker is no proof, and 0.5 would be a coin.

    `python -m bench proofs` reports it: 0.80.
    """
    found, judged = citation_auc(rows("citations", "expertqa_sample.jsonl"))
    record_property("auc", round(found, 3))
    assert judged > 300
    assert found > 0.75


def test_the_auc_is_that_of_the_books():
    assert auc([1, 2, 3], [False, False, True]) == 1.0
    assert auc([1, 2, 3], [True, False, False]) == 0.0
    assert auc([1, 1], [True, False]) == 0.5


def test_markers_of_real_answers_point_to_their_own_sources():
    """Bing-like systems list their sources as `[n] url`: every marker is then either listed or caught."""
    for row in rows("citations", "expertqa_sample.jsonl"):
        sources = {line[1 : line.index("]")]: line for line in row["attribution"] if line.startswith("[")}
        fault = check_citations(row["answer"], sources, required=False, quotes=False)
        assert (fault is None) == (set(markers(row["answer"])) <= set(sources))


def test_footnotes_lists_and_names_are_markers_and_links_are_not():
    assert markers("a [1] b [^2] c [kb-3; 4] d [text](https://example.org) e [not a marker]") == (
        "1",
        "2",
        "kb-3",
        "4",
    )


def test_a_suite_and_the_gateway_read_the_same_marks():
    text = "a [2-3], 【1†source】, [Source 2], [Handbook.pdf], [1](https://e.example), not [2024] or `x[1]`"
    assert markers(text, {"handbook.pdf"}) == ("2", "3", "1", "2", "handbook.pdf", "1")
    sources = {"1": "", "2": "", "3": "", "Handbook.pdf": ""}
    assert check_citations(text, sources) is None
    assert check_citations("So [kb-9].", sources) == "[kb-9] is not among the sources"
    assert check_citations("So [4].", sources) == "[4] is not among the sources"
