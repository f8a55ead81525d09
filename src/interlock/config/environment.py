"""`${NAME}` in a config's values, and where its secrets are. The environment comes as an argument.

Secrets (the API keys of providers, the keys of callers, what webhooks are signed with, the credentials in
the URL of a proxy) are taken out of the tree here, before anything is decoded: what stays in their place is a
stand-in, or the URL without them, so no later message, hash or record can hold one.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

import re2
from msgspec import Struct

from interlock.config.problems import below, error, warning
from interlock.errors import Problem

Place = tuple[str | int, ...]
"""Where a value stands, as keys and list positions: `("providers", "openai", "api_key")`."""

_REFERENCE: Final = re2.compile(r"\$\{([^}]*)\}?")
_NAME: Final = re2.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LITERAL: Final = "<given in the file>"


class FromEnvironment(str):
    """A text that came, in part or whole, from the environment. Messages show `reference` instead.

    `known` is False where a variable it needs is missing: it then stands for any value.
    """

    __slots__ = ("known", "reference")

    def __new__(cls, text: str, reference: str, *, known: bool) -> "FromEnvironment":
        made = super().__new__(cls, text)
        made.reference = reference
        made.known = known
        return made

    reference: str
    known: bool


class Filled(Struct, frozen=True, kw_only=True):
    """A tree with its references replaced. `secrets` are kept by place, and never in the tree.

    `literal`: a secret stands in the file itself.
    """

    tree: Any
    secrets: dict[Place, str]
    problems: tuple[Problem, ...]
    literal: bool = False

    def __repr__(self) -> str:
        return f"Filled({len(self.secrets)} secrets, {len(self.problems)} problems)"


def fill(tree: Any, env: Mapping[str, str]) -> Filled:
    """Replace every `${NAME}` in the values of a tree. Never raises."""
    filler = _Filler(tree, env)
    filled = filler.value(tree, ())
    return Filled(
        tree=filled, secrets=filler.secrets, problems=tuple(filler.problems), literal=filler.literal
    )


def is_secret(place: Place) -> bool:
    """Whether the value at this place is a key that must never be shown."""
    match place:
        case (
            ("providers", _, "api_key")
            | ("providers", _, "endpoints", _, "api_key")
            | ("keys", int(), "key")
            | ("webhooks", _, "secret")
        ):
            return True
    return False


def is_proxy(place: Place) -> bool:
    """Whether the value at this place is a URL that may have credentials in it."""
    match place:
        case ("providers", _, "proxy") | ("providers", _, "endpoints", _, "proxy"):
            return True
    return False


def path_of(place: Place) -> str:
    """A place as problems show it."""
    path = ""
    for key in place:
        path = below(path, key)
    return path


class _Filler:
    """Walks a tree once. Mutable on purpose: it lives for one call of `fill`."""

    def __init__(self, tree: Any, env: Mapping[str, str]) -> None:
        self._tree = tree
        self._env = env
        self.secrets: dict[Place, str] = {}
        self.problems: list[Problem] = []
        self.literal = False
        self._used: dict[str, tuple[Place, bool]] = {}

    def value(self, value: Any, place: Place) -> Any:
        if isinstance(value, dict):
            return {key: self.value(inner, (*place, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner, (*place, index)) for index, inner in enumerate(value)]
        if is_secret(place) and value is not None and not isinstance(value, dict | list):
            return self._secret(str(value), place)
        if is_proxy(place) and isinstance(value, str):
            return self._proxy(value, place)
        if isinstance(value, str) and "${" in value:
            text, known = self._replace(value, place)
            return FromEnvironment(text, value, known=known)
        return value

    def _secret(self, written: str, place: Place) -> str:
        path = path_of(place)
        references = "${" in written
        text, known = self._replace(written, place) if references else (written, True)
        if not references:
            self._literal(place, "the key", "${SOME_NAME}")
        if known and _is_sendable(text, written, path, self.problems):
            self.secrets[place] = text
        return written if references else _LITERAL

    def _proxy(self, written: str, place: Place) -> str | None:
        """The URL of a proxy without its credentials, which are a secret; None where a variable is missing.

        They are written as in any URL (`%40` for `@`), but a variable among them is meant as it is.
        """
        known = True
        credentials, url = _parted(written)
        if credentials is not None:
            user, colon, password = credentials.partition(":")
            if "${" not in (password if colon else user):
                self._literal(place, "the proxy's password", "http://USER:${SOME_NAME}@HOST:PORT")
            credentials, known = self._replace(credentials, place, encode=True)
        url, found = self._replace(url, place)
        if credentials is None:  # one variable may hold all of it, as `HTTPS_PROXY` does
            credentials, url = _parted(url)
        if not (known and found):
            return None
        if credentials is not None:
            self.secrets[place] = unquote(credentials)
        return url

    def _literal(self, place: Place, what: str, instead: str) -> None:
        self.literal = True
        hint = f"keep it in the environment: `{instead}`"
        self.problems.append(warning(path_of(place), f"{what} itself stands in the file", hint))

    def _replace(self, written: str, place: Place, *, encode: bool = False) -> tuple[str, bool]:
        known = True

        def replacement(found: Any) -> str:
            nonlocal known
            value = self._lookup(found.group(0), found.group(1), place)
            known = known and value is not None
            return quote(value or "", safe=":", errors="surrogatepass") if encode else value or ""

        return _REFERENCE.sub(replacement, written), known

    def _lookup(self, reference: str, name: str, place: Place) -> str | None:
        """The value of a variable; None, with the problem noted, where it cannot be used."""
        path = path_of(place)
        if not reference.endswith("}") or not _NAME.fullmatch(name):
            self._note(path, f"`{reference}` names no variable", "write `${NAME}`")
            return None
        value = self._env.get(name)
        needs = f"{self._owner(place)} needs it"
        if value is None:
            self._note(path, f"the environment variable `{name}` is not set; {needs}", f"`export {name}=…`")
            return None
        if not value.strip():
            self._note(path, f"the environment variable `{name}` is empty; {needs}", f"`export {name}=…`")
            return None
        if any(char < " " or char == "\x7f" for char in value):
            self._note(
                path,
                f"the environment variable `{name}` has a line break or control character; {needs}",
                "set it without one, for instance with `$(cat FILE)`, which drops the last line break",
            )
            return None
        self._keep_apart(name, place)
        return value

    def _keep_apart(self, name: str, place: Place) -> None:
        """A variable that holds a secret may not fill another field: that field would be recorded."""
        secret = is_secret(place) or is_proxy(place)
        first, was_secret = self._used.setdefault(name, (place, secret))
        if secret != was_secret:
            shown, hidden = (first, place) if secret else (place, first)
            self._note(
                path_of(shown),
                f"`{name}` is a secret of `{path_of(hidden)}`; here it would be recorded",
                "use another variable",
            )

    def _owner(self, place: Place) -> str:
        """Who needs a value, in the words of the file."""
        match place:
            case ("providers", name, *_):
                return f"provider `{name}`"
            case ("webhooks", name, *_):
                return f"webhook `{name}`"
            case ("keys", int(index), *_) if isinstance(name := self._tree["keys"][index].get("id"), str):
                return f"key `{name}`"
        return f"`{path_of(place)}`"

    def _note(self, path: str, problem: str, hint: str) -> None:
        self.problems.append(error(path, problem, hint))


def _parted(url: str) -> tuple[str | None, str]:
    """What stands before the last `@` of a URL, and the URL without it: only a password may hold another."""
    before, at, rest = url.rpartition("@")
    if not at:
        return None, url
    scheme, slashes, credentials = before.partition("://")
    return (credentials, f"{scheme}://{rest}") if slashes else (before, rest)


def _is_sendable(text: str, written: str, path: str, problems: list[Problem]) -> bool:
    """Whether a secret can travel in a header: visible ASCII, nothing else."""
    what = f"`{written}`" if "${" in written else "the key"
    if not text:
        problems.append(error(path, f"{what} is empty", "leave `api_key` out for a server that needs none"))
        return False
    if any(not "!" <= char <= "~" for char in text):
        problems.append(
            error(
                path,
                f"{what} holds a space, line break or other character that no header can carry",
                "check what was pasted",
            )
        )
        return False
    return True
