"""Citations are valid: markers are there, each points to a given source, and what is quoted stands in it.

Whether a source supports what is claimed is not asked here: that takes a judge.
"""

from typing import Final

from interlock.evals.cited import check_citations
from interlock.evals.sample import Grade
from interlock.evals.seen import Seen, skip, verdict
from interlock.evals.suite import GraderSpec

MEASURE: Final = "citation_valid"


class Citations(GraderSpec, frozen=True, kw_only=True):
    """`required`: an answer without any marker is wrong. `quotes`: quoted text must be in a source that is
    cited in the same sentence, compared without regard to spaces, case and kinds of quotation marks.
    """

    required: bool = True
    quotes: bool = True


def grade(spec: Citations, seen: Seen) -> Grade:
    if not seen.case.sources:
        return skip("the case gives no sources")
    fault = check_citations(seen.sample.text, seen.case.sources, required=spec.required, quotes=spec.quotes)
    return verdict(fault is None, fault or "")
