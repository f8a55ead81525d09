"""Secrets without a form of their own, told by what stands beside them.

`db_password = "…"`, `Authorization: Bearer …`, `postgres://user:…@host`, `curl -u user:…`: the
place says that a secret follows, and the value has to look like one rather than like a reference
(`${PASSWORD}`), a placeholder or a plain word. Prose is read too (`the password is …`).
"""

from typing import Final

from interlock.classify.checksums import entropy
from interlock.classify.keys import has_digit, is_placeholder, looks_random, slack

# --- a name, an operator, a value -------------------------------------------------------------

_NAMES: Final = r"passw(?:or)?d|passphrase|passcode|pwd"
_KEY_NAMES: Final = (
    r"token|secret|credentials?"
    r"|(?:api|access|auth|private|secret|account|encryption|signing|master|service|admin|shared[_.-]?access)"
    r"[_. -]?key"
)
_OPERATOR: Final = r"[\"'`\])]{0,3}\s{0,3}(?:=>|:{0,3}=|\?=|:|\bis\b)[\s\\]{0,3}[\"'`]{0,2}"
_VALUE: Final = r"[^\s\"'`<>,;\\]"

PASSWORD_MARK: Final = rf"(?i)(?:{_NAMES})(?:[_-]?[0-9])?{_OPERATOR}{_VALUE}{{6}}"
PASSWORD: Final = rf"(?i)(?:{_NAMES})(?:[_-]?[0-9])?{_OPERATOR}({_VALUE}{{6,}})"
TOKEN_MARK: Final = rf"(?i)(?:{_KEY_NAMES})(?:[_-]?[0-9])?{_OPERATOR}{_VALUE}{{6}}"
TOKEN: Final = rf"(?i)([0-9a-z_.-]*(?:{_KEY_NAMES}))(?:[_-]?[0-9])?{_OPERATOR}({_VALUE}{{12,}})"

# Vendors whose keys are bare letters and digits; the vendor's name in the name of a value tells them.
_VENDORS: Final = (
    "adafruit|algolia|asana|atlassian|authress|beamer|bitbucket|bittrex|codecov|cohere|coinbase|confluent|contentful"
    "|datadog|discord|droneci|dropbox|etsy|fastly|finicity|finnhub|flickr|freemius|freshbooks|gitter|hubspot|intercom"
    "|jfrog|jira|kraken|kucoin|launchdarkly|linkedin|looker|mailchimp|mattermost|meraki|messagebird|netlify|nytimes"
    "|okta|plaid|privateai|rapidapi|sendbird|sentry|snyk|sonar|squarespace|sumo(?:logic)?|travis|trello|twitch|twitter"
    "|zendesk|zoho"
)
VENDOR_MARK: Final = rf"(?i)(?:{_VENDORS})[0-9a-z_. -]*[\"'`\])]*\s{{0,3}}[:=?]"
VENDOR: Final = (
    rf"(?i)(?:{_VENDORS})[0-9a-z_. -]{{0,24}}?(?:key|token|secret|login|id|auth|pass)"
    rf"{_OPERATOR}([0-9A-Za-z+/=_.~-]{{12,}})"
)

_PLAIN_WORDS: Final = frozenset(
    {"password", "passwd", "pass", "secret", "token", "pwd", "string", "none", "null"}
)
_STARTS_OF_REFERENCES: Final = (
    *("$", "%", "{", "[", "(", "/", "&"),
    *("http:", "https:", "file:", "process.env", "os.", "env."),
)
_SIGNS: Final = frozenset("!@#$%^&*?~+")


def is_password(value: str) -> bool:
    """Whether a value after `password =` was chosen by somebody: letters with digits or signs."""
    value = value.rstrip(".)]}")
    if len(value) < 6 or is_reference(value) or is_placeholder(value):
        return False
    letters = any(char.isalpha() for char in value)
    signs = has_digit(value) or not _SIGNS.isdisjoint(value)
    return letters and signs and not _is_identifier(value) and entropy(value) >= 2.3


def is_token(name: str, value: str) -> bool:
    """Whether a value after `…token =` was generated. Public keys are no secret."""
    value = value.rstrip(".)]}")
    if len(value) < 12 or "public" in name.lower() or is_reference(value) or not looks_random(value):
        return False
    if value.startswith("xox"):
        return slack(value)
    if value.isdigit():
        return len(value) >= 15
    return has_digit(value) and not _is_identifier(value) and entropy(value) >= 2.9


def is_vendor_key(value: str) -> bool:
    return is_token("", value)


def is_reference(value: str) -> bool:
    """A variable, a template or a call that will give the value, or a word that stands for it."""
    return (
        value.startswith(_STARTS_OF_REFERENCES)
        or any(mark in value for mark in ("${", "{{", "$(", "("))
        or value.lower() in _PLAIN_WORDS
    )


def _is_identifier(value: str) -> bool:
    """`var.db_password`, `token_2`, `cert.p12`: words with at most two digits each, joined by signs."""
    words = value.translate(_JOINTS).split(".")
    return len(words) > 1 and all(_is_word(word) for word in words)


_JOINTS: Final = str.maketrans("-_/", "...")


def _is_word(word: str) -> bool:
    """Lower case, upper case or capitalised, and two digits at most at its end."""
    bare = word.rstrip("0123456789")
    if len(word) - len(bare) > 2:
        return False
    return not bare or (bare.isalpha() and bare in (bare.lower(), bare.upper(), bare.capitalize()))


# --- places where only a secret stands --------------------------------------------------------

HEADER_MARK: Final = r"(?i)authorization[\"']?\s{0,2}[:=]"
HEADER: Final = (
    r"(?i)authorization[\"']?\s{0,2}[:=]\s{0,2}[\"']?"
    r"(?:bearer|basic|token|apikey)\s{1,2}([0-9A-Za-z+/=._~-]{8,})"
)
URL_MARK: Final = r"[0-9A-Za-z]://[^\s/@\"'<>]*:[^\s/@\"'<>]*@"
URL: Final = r"[A-Za-z][0-9A-Za-z+.-]{1,20}://[^\s:/@\"'<>]*:([^\s/@\"'<>]{3,})@[0-9A-Za-z\[]"
CURL_MARK: Final = r"\bcurl\s"
CURL: Final = r"\bcurl\b(?s:.){0,400}?\s(?:-u|--user)[ =]{1,3}[\"']?([^\s\"':]{0,80}[\"']?:[^\s]{0,100})"
XML_MARK: Final = r"(?i)password\"\s{1,32}value=\""
XML: Final = r"(?i)key=\"[^\"]{0,40}password\"\s{1,32}value=\"([^\"]{4,100})\""
BUNDLE_MARK: Final = r"\bBUNDLE_[A-Z_]*__COM\b"
BUNDLE: Final = r"\bBUNDLE_[A-Z_]{1,40}__COM[\"']?\s{0,2}[:=]\s{0,2}[\"']?([0-9a-f]{8}:[0-9a-f]{8})\b"
KUBERNETES_MARK: Final = r"(?i)\bkind:\s{0,3}[\"']?secret\b"
_ENTRY: Final = r"\bdata:\s*\n\s+[\w.-]+:[ |>\-\n\t]{0,12}[\"']?([0-9A-Za-z+/]{10,}={0,2})"
_KIND: Final = r"\bkind:\s{0,3}[\"']?secret[\"']?(?:\s|$)"
KUBERNETES: Final = rf"(?is){_KIND}.{{0,400}}?{_ENTRY}|{_ENTRY}.{{0,400}}?{_KIND}"


def is_header_value(value: str) -> bool:
    return not is_placeholder(value) and entropy(value) >= 2.7


def is_url_password(value: str) -> bool:
    return not is_reference(value) and not is_placeholder(value) and "*" not in value


def is_curl_user(value: str) -> bool:
    """`user:password` as curl takes it; a token may stand as the user, before an empty password."""
    user, _, password = value.replace('"', "").replace("'", "").partition(":")
    secret = (password or user).strip("{}")
    if any(part.startswith(("$", "[", "<")) or "$(" in part or "${" in part for part in (user, password)):
        return False
    plain = len(secret) < 6 or secret.lower() in _PLAIN_WORDS
    return not plain and (has_digit(secret) or _is_mixed(secret))


def _is_mixed(value: str) -> bool:
    return len(value) >= 10 and value.isalnum() and not value.islower() and not value.isupper()


def is_xml_password(value: str) -> bool:
    whole = value.startswith("%") and value.endswith("%")
    return len(value) >= 6 and not whole and not is_reference(value) and not is_placeholder(value)
