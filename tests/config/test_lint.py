"""The whole config under scrutiny: what is refused, and what must not be."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from interlock import config
from interlock.config.lint_routes import check_routes
from interlock.config.problems import nearest, suggest
from tests.config.base import SMALL, errors, many, problems, whole, written


def said(folder: Path, extra: str) -> list[str]:
    return [f"{p.path}: {p.problem}" for p in problems(folder, extra)]


def test_o2_a_longer_cycle_is_printed_from_model_to_model(tmp_path):
    text = SMALL.replace("aliases:", "  third: {provider: home, price: {input: 0, output: 0}}\naliases:")
    extra = """
fallbacks:
  - {from: main, to: large, when: any}
  - {from: large, to: third, when: rate_limit}
  - {from: third, to: small, when: any}
"""
    found = config.check(written(tmp_path, extra, text), {})
    assert [problem.problem for problem in found if problem.severity == "error"] == [
        "a cycle by `rate_limit`: `small` → `large` → `third` → `small`"
    ]


def test_o2_ways_that_only_meet_by_different_failures_are_no_cycle(tmp_path):
    extra = "fallbacks: [{from: main, to: large, when: rate_limit}, {from: large, to: main, when: budget}]\n"
    assert errors(tmp_path, extra) == []


def test_o2_rows_from_every_model_are_no_cycle(tmp_path):
    extra = 'fallbacks: [{from: "*", to: large, when: any}, {from: large, to: small, when: any}]\n'
    assert errors(tmp_path, extra) == []


def test_o2_each_cycle_is_told_once_however_many_failures_lead_round_it(tmp_path):
    extra = "fallbacks: [{from: small, to: large, when: any}, {from: large, to: small, when: any}]\n"
    assert len(errors(tmp_path, extra)) == 1


NODES = ("a", "b", "c", "d")
WHENS = ("any", "rate_limit", "budget")
ROW = st.tuples(st.sampled_from(NODES), st.sampled_from(NODES), st.sampled_from(WHENS))


@many
@given(st.lists(ROW, max_size=8))
def test_o2_a_cycle_is_reported_exactly_where_a_model_reaches_itself(rows):
    models = "".join(f"  {name}: {{provider: p}}\n" for name in NODES)
    fallbacks = ", ".join(f"{{from: {a}, to: {b}, when: {when}}}" for a, b, when in rows)
    text = f"providers: {{p: {{kind: openai, base_url: http://x}}}}\nmodels:\n{models}"
    found = [
        p.problem for p in check_routes(whole(f"{text}fallbacks: [{fallbacks}]\n")) if p.severity == "error"
    ]
    selves = [row for row in rows if row[0] == row[1]]
    assert sum("falls back to itself" in problem for problem in found) == len(selves)
    assert any("a cycle" in problem for problem in found) == _has_cycle(rows)


def _has_cycle(rows: list[tuple[str, str, str]]) -> bool:
    """By brute force: does some power of the step relation lead from a model to itself?"""
    for when in ("rate_limit", "budget"):
        step = {(a, b) for a, b, kind in rows if a != b and kind in (when, "any")}
        reach = set(step)
        for _ in NODES:
            reach |= {(a, d) for a, b in reach for c, d in step if b == c}
        if any(a == b for a, b in reach):
            return True
    return False


def test_o3_a_canary_of_nothing_and_of_everything_is_allowed(tmp_path):
    assert errors(tmp_path, "rollouts: {canary: {steps: [{weight: 0}, {weight: 0}, {weight: 1}]}}\n") == []


def test_o3_weights_that_add_up_to_one_are_allowed_and_zero_means_never_first(tmp_path):
    lane = """
lanes:
  l: {match: {task: x}, models: [main, strong], select: weighted, weights: {main: 1, strong: 0}}
"""
    assert said(tmp_path, lane) == []
    thirds = lane.replace("main: 1, strong: 0", "main: 0.3333, large: 0.6667")
    assert said(tmp_path, thirds) == []


def test_a_rule_without_when_is_alive_and_so_is_one_about_what_is_missing(tmp_path):
    extra = """
policy:
  - {name: a, then: {layout: fenced}}
  - {name: b, when: {not: {team: red}}, then: {layout: fenced}}
"""
    assert said(tmp_path, extra) == []


def test_a_lane_is_only_called_empty_when_every_request_of_it_is_refused(tmp_path):
    lane = "lanes: {l: {match: {task: x}, models: [strong]}}\n"
    rule = "policy: [{name: home, when: {data_class: {gte: confidential}}, then: {vendors: [home]}}]\n"
    assert said(tmp_path, lane + rule) == []


def test_a_lane_named_by_a_rule_needs_no_match_of_its_own(tmp_path):
    lane = "lanes: {l: {models: [main]}}\n"
    assert said(tmp_path, lane + "policy: [{name: r, when: {team: red}, then: {lane: l}}]\n") == []


def test_a_rule_about_the_lane_itself_empties_it(tmp_path):
    lane = "lanes: {l: {match: {task: x}, models: [strong]}}\n"
    rule = "policy: [{name: r, when: {lane: l}, then: {providers: [home]}}]\n"
    (problem,) = errors(tmp_path, lane + rule)
    assert problem.endswith("of this lane: `large`: rule `r`: provider `cloud` is not among `home`")


def test_a_rule_that_risk_alone_makes_apply_empties_a_lane_of_regulated_data(tmp_path):
    lane = "lanes: {l: {match: {data_class: confidential, trust: untrusted}, models: [main]}}\n"
    rule = "policy: [{name: r, when: {risk_tier: {gte: high}}, then: {regions: [us]}}]\n"
    assert "rule `r`: data may be processed in" in errors(tmp_path, lane + rule)[0]


def test_two_regions_of_one_provider_are_judged_each_by_itself(tmp_path):
    text = SMALL.replace(
        'base_url: "https://cloud.example/v1", regions: [us]',
        'endpoints: {us: {base_url: "https://us.example"}, eu: {base_url: "https://eu.example"}}',
    )
    extra = """
lanes: {l: {match: {residency: eu}, models: [strong]}}
policy: [{name: r, when: {residency: eu}, then: {regions: [eu]}}]
"""
    assert config.check(written(tmp_path, extra, text), {}) == ()


def test_data_bound_to_a_place_is_held_by_rules_that_together_always_apply(tmp_path):
    key = 'keys: [{id: k, key: "${K}", residency: eu}]\n'
    split = (
        "policy:\n"
        "  - {name: low, when: {data_class: {lte: internal}}, then: {regions: [eu]}}\n"
        "  - {name: high, when: {data_class: {gte: confidential}}, then: {vendors: [home]}}\n"
    )
    warned = [p for p in problems(tmp_path, key + split, {"K": "x"}) if "could leave" in p.problem]
    assert warned == []
    half = split.replace("lte: internal", "lte: public")
    (warned_of,) = [p for p in problems(tmp_path, key + half, {"K": "x"}) if "could leave" in p.problem]
    assert "large (us)" in warned_of.problem


def test_a_rule_on_regions_decides_what_a_residency_means(tmp_path):
    key = 'keys: [{id: k, key: "${K}", residency: de}]\n'
    rule = "policy: [{name: germany, when: {residency: de}, then: {regions: [eu]}}]\n"
    assert problems(tmp_path, key + rule, {"K": "x"}) == ()
    (alone,) = problems(tmp_path, key, {"K": "x"})
    assert "`large (us)`, `small (eu)`" in alone.problem


def test_a_host_that_others_reach_is_allowed_with_keys(tmp_path):
    assert errors(tmp_path, "server: {host: 0.0.0.0}\n") != []
    keys = 'keys: [{id: k, key: "${K}"}]\nserver: {host: 0.0.0.0}\n'
    assert problems(tmp_path, keys, {"K": "x"}) == ()
    for host in ("localhost", "127.8.9.1", "::1"):
        assert errors(tmp_path, f'server: {{host: "{host}"}}\n') == []


def test_a_suggestion_is_the_nearest_name_whatever_its_case():
    assert nearest("Prod-Stabel", ["prod-stable", "prod-hard"]) == "prod-stable"
    assert nearest("zzz", ["prod-stable"]) is None
    assert suggest("zzz", []) == "none are declared"
    assert suggest("zzz", [str(n) for n in range(20)]).endswith("and 8 more")


def test_an_effort_asked_of_a_model_that_is_known_not_to_reason_is_warned_of(tmp_path):
    def found(capabilities, effort):
        text = SMALL.replace("capabilities: [tools]", f"effort: {effort}, capabilities: {capabilities}")
        return [p.path for p in config.check(written(tmp_path, "", text), {}) if "effort" in p.path]

    assert found("[tools]", "high") == ["models.small.effort"]
    assert found("[tools, reasoning]", "high") == found("[tools]", "none") == []
