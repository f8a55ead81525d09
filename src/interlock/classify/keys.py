"""Keys and tokens that carry a form of their own, so that they are found wherever they stand.

Each vendor's form is a prefix and an alphabet with a length, from the vendor's documentation. What
has no form of its own is the business of `passwords`. A match still has to look made by a machine:
`sk_live_xxxxxxxx` and `AKIA…EXAMPLE` raise nothing. Whether a key is live is never asked.
"""

from typing import Final

from msgspec import Struct

from interlock.classify.checksums import entropy
from interlock.classify.disguise import START

WORD: Final = "[0-9A-Za-z]"
DASHED: Final = "[0-9A-Za-z_-]"
HEX: Final = "[0-9a-fA-F]"
BASE64: Final = "[0-9A-Za-z+/=]"
LETTER: Final = "[A-Za-z]"
CAPITAL: Final = "[0-9A-Z]"

ANY_LENGTH: Final = 100_000


class Form(Struct, frozen=True):
    """`prefix`, then between `least` and `most` characters of `alphabet`; no letter or digit before it.

    `digit`: the characters after the prefix must hold a digit. `mark`: where the prefix is no plain
    string, the part of it that stands for it in a first look.
    """

    kind: str
    prefix: str
    alphabet: str
    least: int
    most: int = ANY_LENGTH
    digit: bool = False
    mark: str = ""

    @property
    def pattern(self) -> str:
        """Group 1 is the key, group 2 what follows the prefix."""
        return rf"{START}({self.prefix}({self.alphabet}{{{self.least},}}))"

    def check(self, tail: str) -> bool:
        if len(tail) > self.most or (self.digit and not has_digit(tail)):
            return False
        return looks_random(tail)


_DISCORD_MARK: Final = r"\.[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{9}"

FORMS: Final[tuple[Form, ...]] = (
    # models
    Form("openai", "sk-(?:proj|svcacct|admin)-[0-9A-Za-z_-]{15,80}T3BlbkFJ", DASHED, 15, mark="T3BlbkFJ"),
    Form("openai", "sk-(?:proj|svcacct|admin)-", DASHED, 100),
    Form("openai", "sk-", WORD, 32),  # DeepSeek, Moonshot and LiteLLM use the same form
    Form("anthropic", "sk-ant-[a-z]{2,10}[0-9]{2}-", DASHED, 80),
    Form("openrouter", "sk-or-v1-", HEX, 64),
    Form("google_api_key", "AIza", DASHED, 35, 35),
    Form("huggingface", "(?:hf_|api_org_)", LETTER, 34, 34),
    Form("groq", "gsk_", WORD, 48, 56),
    Form("perplexity", "pplx-", WORD, 48, 56),
    Form("replicate", "r8_", WORD, 37, 40),
    Form("xai", "xai-", WORD, 70, 90),
    # clouds
    Form("aws_access_key", "(?:AKIA|ASIA|ABIA|ACCA|A3T[0-9A-Z])", CAPITAL, 16, 16),
    Form("aws_bedrock", "ABSK", BASE64, 100),
    Form("aws_bedrock", "bedrock-api-key-", BASE64, 40),
    Form("google_oauth", r"(?:GOCSPX-|ya29\.)", DASHED, 24),
    Form("azure_client_secret", r"[0-9A-Za-z_~.]{3}[0-9]Q~", "[0-9A-Za-z_~.-]", 31, 34, mark="[0-9]Q~"),
    Form("alibaba", "LTAI", WORD, 16, 26, digit=True),
    Form("cloudflare_origin", r"v1\.0-[0-9a-f]{24}-", HEX, 140, mark=r"v1\.0-[0-9a-f]{4}"),
    Form("digitalocean", "do[oprt]_v1_", HEX, 64, 64),
    Form("heroku", "HRKU-AA", DASHED, 50),
    Form("fly", "(?:fo1_|fm[12][ar]?_)", "[0-9A-Za-z+/=_,-]", 40),
    Form("databricks", "dapi", HEX, 32, 34),
    Form("planetscale", "pscale_(?:tkn|oauth|pw)_", "[0-9A-Za-z_=.-]", 32, 64),
    Form("supabase", "sbp_", HEX, 40, 40),
    Form("scalingo", "tk-us-", DASHED, 48, 48),
    Form("yandex", "AQVN", DASHED, 35, 38, digit=True),
    Form("yandex", "YC", DASHED, 38, 38, digit=True),
    Form("openshift", "sha256~", DASHED, 43, 43),
    Form("vault", r"hv[sbr]\.", DASHED, 90),
    Form("vault", r"s\.", WORD, 24, 24, digit=True),
    Form("terraform", r"[0-9A-Za-z]{14}\.atlasv1\.", "[0-9A-Za-z_=-]", 60, mark=r"\.atlasv1\."),
    Form("pulumi", "pul-", HEX, 40, 40),
    Form("doppler", r"dp\.[a-z]{2,6}\.", WORD, 40, 44),
    Form("age", "AGE-SECRET-KEY-1", CAPITAL, 58, 58),
    Form(
        "onepassword",
        "A3-[0-9A-Z]{6}-(?:[0-9A-Z]{11}|[0-9A-Z]{6}-[0-9A-Z]{5})-(?:[0-9A-Z]{5}-){2}",
        CAPITAL,
        5,
        5,
        mark=r"A3-[0-9A-Z]{6}-",
    ),
    Form("onepassword", "ops_eyJ", BASE64, 100),
    # code
    Form("github", "gh[pousr]_", WORD, 36, 255),
    Form("github", "github_pat_", "[0-9A-Za-z_]", 60, 255),
    Form("gitlab", "(?:glpat|gldt|glft|glrt|glrtr|glffct|glwt|glcbt)-", "[0-9A-Za-z_.-]", 20, 320),
    Form("gitlab", "glsoat-", DASHED, 20, 20),
    Form("gitlab", "glimt-", DASHED, 25, 25),
    Form("gitlab", "glptt-", DASHED, 40, 40),
    Form("gitlab", "glagent-", DASHED, 50, 1000),
    Form("gitlab", "gloas-", DASHED, 64, 64),
    Form("gitlab", "GR1348941", DASHED, 20),
    Form("npm", "npm_", WORD, 36, 36),
    Form("pypi", "pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)", DASHED, 50),
    Form("rubygems", "rubygems_", HEX, 48, 48),
    Form("nuget", "oy2", "[a-z0-9]", 43, 43, digit=True),
    Form("clojars", "CLOJARS_", WORD, 60, 60),
    Form("docker", "dckr_(?:pat|oat)_", DASHED, 27, 40),
    Form("artifactory", "AKCp", WORD, 69, 69),
    Form("artifactory", "cmVmd", WORD, 59, 59),
    Form("atlassian", "ATATT3", "[0-9A-Za-z_=-]", 150),
    Form("postman", "PMAK-[0-9a-fA-F]{24}-", HEX, 34, 34, mark=r"PMAK-"),
    Form("prefect", "pn[ub]_", WORD, 36, 36),
    Form("sonar", "sq[upa]_", HEX, 40, 40),
    Form("sourcegraph", "sgp_(?:[a-fA-F0-9]{16}_|local_)?", HEX, 40, 40, mark=r"sgp_"),
    Form("sourcegraph", "slk_", HEX, 64, 64),
    Form("octopus", "API-", CAPITAL, 26, 26, digit=True),
    Form("infracost", "ico-", WORD, 32, 32),
    Form("clickhouse", "4b1d", WORD, 38, 38),
    Form(
        "harness",
        r"[ps]at\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z]{24}\.",
        WORD,
        20,
        20,
        mark=r"[ps]at\.[0-9A-Za-z_-]{8}",
    ),
    Form("readme", "rdme_", "[a-z0-9]", 70, 70),
    # money and shops
    Form("stripe", "(?:sk|rk)_(?:live|test|prod)_", WORD, 10, 250),
    Form("stripe", "whsec_", BASE64, 32),
    Form("square", "sq0[a-z]{3}-", DASHED, 22, 60),
    Form("meta", "EAA", DASHED, 60),  # Facebook's and Square's access tokens
    Form("meta", r"[0-9]{15,16}(?:\||%7C)", DASHED, 27, 27, mark=r"[0-9]{5}(?:\||%7C)"),
    Form("shopify", "shp(?:at|ca|pa|ss|tka)_", HEX, 32, 32),
    Form("shippo", "shippo_(?:live|test)_", HEX, 40, 40),
    Form("flutterwave", "FLW(?:PUB|SEC)K(?:_TEST)?-", HEX, 12, 64),
    Form("duffel", "duffel_(?:test|live)_", "[0-9A-Za-z_=-]", 43, 43),
    Form("easypost", "EZ[AT]K", WORD, 54, 54),
    Form("gocardless", "live_", "[0-9A-Za-z_=-]", 40, 40, digit=True),
    Form("lob", "(?:live|test)_", "[a-f0-9]", 35, 35),
    # messages and mail
    Form("slack_webhook", r"hooks\.slack\.com/(?:services|workflows|triggers)/", "[0-9A-Za-z+/]", 40),
    Form("discord", r"[MNO][0-9A-Za-z_-]{23,25}\.[0-9A-Za-z_-]{6}\.", DASHED, 27, 38, mark=_DISCORD_MARK),
    Form(
        "discord", r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/", DASHED, 60, mark="/api/webhooks/[0-9]"
    ),
    Form("telegram", r"(?:org/bot)?[0-9]{8,10}:A", DASHED, 34, 34, mark="[0-9]{5}:A[0-9A-Za-z_-]{4}"),
    Form("teams", r"webhook\.office\.com/webhookb2/", "[0-9a-zA-Z@/-]", 70),
    Form("twilio", "SK", "[0-9a-f]", 32, 32),
    Form("sendgrid", r"SG\.[0-9A-Za-z_-]{16,32}\.", DASHED, 40, mark=r"SG\.[0-9A-Za-z_-]{4}"),
    Form("mailgun", "key-", HEX, 32, 32),
    Form("mailgun", "[0-9a-f]{32}-[0-9a-f]{8}-", HEX, 8, 8, mark="[0-9a-f]{9}-[0-9a-f]{8}-[0-9a-fA-F]"),
    Form("mailchimp", "[0-9a-f]{32}-us", "[0-9]", 1, 2, mark="[0-9a-f]{4}-us[0-9]"),
    Form("brevo", "xkeysib-[0-9a-f]{64}-", WORD, 16, 16, mark="xkeysib-"),
    Form("twitter", "A{22}", "[0-9A-Za-z%]", 80, mark=r"A{12}"),
    # work and watch
    Form("adobe", "p8e-", WORD, 32, 32),
    Form("airtable", r"pat[0-9A-Za-z]{14}\.", HEX, 64, 64, mark=r"[0-9A-Za-z]\.[0-9a-fA-F]{12}"),
    Form("dynatrace", r"dt0[a-z][0-9]{2}\.[0-9A-Za-z]{24}\.", WORD, 64, 64, mark=r"dt0[a-z][0-9]{2}\."),
    Form("frameio", "fio-u-", "[0-9A-Za-z_=-]", 64, 64),
    Form("grafana", "glc_", BASE64, 32, 400),
    Form("grafana", "glsa_", "[0-9A-Za-z_]", 41, 41),
    Form("grafana", "eyJrIjoi", BASE64, 50, 400),
    Form("intra42", "s-s4t2(?:ud|af)-", HEX, 64, 64),
    Form("linear", "lin_(?:api|oauth)_", WORD, 40),
    Form("mapbox", r"sk\.ey", "[0-9A-Za-z_.-]", 60),
    Form("maxmind", "[0-9A-Za-z]{6}_[0-9A-Za-z]{29}_mm", "k", 1, 1, mark="[0-9A-Za-z]_mmk"),
    Form("new_relic", "NR(?:AK|II|JS|RA|IQ)-", DASHED, 19, 42),
    Form("notion", "ntn_[0-9]{11}", WORD, 35, 35, mark=r"ntn_[0-9]{4}"),
    Form("notion", "secret_", WORD, 43, 43, digit=True),
    Form("sentry", "sntrys_eyJ", "[0-9A-Za-z+/=_]", 60),
    Form("sentry", "sntryu_", HEX, 64, 64),
    Form("settlemint", "sm_[aps]at_", WORD, 16, 16),
    Form("typeform", "tfp_", "[0-9A-Za-z_.=-]", 59, 59),
)

_SHORT: Final = 4  # characters after a prefix; long counts would make the automaton of marks large


def mark(form: Form) -> str:
    """What stands wherever the form does, and is short."""
    return form.mark or rf"{START}{_beginning(form)}"


def _beginning(form: Form) -> str:
    return rf"{form.prefix}{form.alphabet}{{{min(form.least, _SHORT)}}}"


# Any form's mark: one pattern, so that the automaton holds what they share once.
FORMS_MARK: Final = "|".join(
    (
        rf"{START}(?:{'|'.join(_beginning(form) for form in FORMS if not form.mark)})",
        *(form.mark for form in FORMS if form.mark),
    )
)

SLACK_MARK: Final = "(?:xox[a-z][-.]|xapp-)[0-9A-Za-z]"
SLACK: Final = rf"{START}((?:xox[a-z]|xapp)(?:\.xox[bp])?-[0-9A-Za-z-]{{12,}})"
JWT_MARK: Final = r"[0-9A-Za-z_-]{4}\.ey[0-9A-Za-z_/-]{4}"
JWT: Final = rf"{START}(ey[0-9A-Za-z_-]{{10,}}\.ey[0-9A-Za-z_/-]{{10,}}(?:\.[0-9A-Za-z_/-]*={{0,2}})?)"
PRIVATE_KEY_MARK: Final = "-----BEGIN [A-Z0-9 ]*PRIVATE KEY"
PRIVATE_KEY: Final = (
    r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[\s:,0-9A-Za-z.\-]|\\[nr]){0,300}?[0-9A-Za-z+/=]{16,})"
)


def slack(value: str) -> bool:
    """Slack's tokens end in a random segment after segments that say whose they are."""
    last = value.rpartition("-")[2]
    return len(last) >= 10 and has_digit(last) and not last.isdigit() and looks_random(last)


# Words and runs that somebody writes where a key would stand. Runs of the alphabet are documentation.
_PLACEHOLDERS: Final = (
    "example",
    "xxxxx",
    "*****",
    ".....",
    "changeme",
    "change_me",
    "placeholder",
    "redacted",
    "your_",
    "your-",
    "yourkey",
    "yourtoken",
    "insert",
    "abcdefghij",
    "0123456789abcdef",
)
_LEAST_ENTROPY: Final = 2.7


def looks_random(value: str) -> bool:
    """Whether a value has the variety of something generated, and none of a placeholder's words."""
    return not is_placeholder(value) and (len(value) < 10 or entropy(value) >= _LEAST_ENTROPY)


def is_placeholder(value: str) -> bool:
    lower = value.lower()
    return any(word in lower for word in _PLACEHOLDERS)


def has_digit(value: str) -> bool:
    return any("0" <= char <= "9" for char in value)
