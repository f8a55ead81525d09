"""Small configs and requests for tests of the classifier."""

from interlock.classify import classify
from interlock.classify.positions import read
from interlock.classify.seen import Reading, owner
from interlock.config.checked import Config, Deployment, Lane, Model, Provider
from interlock.config.written import Classification, ToolSpec
from interlock.types.request import Message, Request, Text
from interlock.types.signals import Caller, Signals

CONFIG = Config(
    providers={
        "openai": Provider(
            name="openai",
            kind="openai",
            vendor="openai",
            deployments=(Deployment(id="openai", provider="openai", base_url="http://127.0.0.1:1"),),
        )
    },
    models={
        "main": Model(name="main", provider="openai", upstream="gpt-4o"),
        "deep": Model(name="deep", provider="openai", upstream="gpt-5.5"),
        "other": Model(name="other", provider="openai", upstream="claude-sonnet-4-6"),
    },
    aliases={"prod": "main", "hard": "deep"},
    tools={
        "search": ToolSpec(effects=("read", "external"), family="search"),
        "kb_retrieve": ToolSpec(effects=("read",), family="search", output_trust="trusted"),
        "deploy": ToolSpec(effects=("critical",), family="ops"),
    },
    sources={"kb": "trusted", "email": "untrusted"},
    classification=Classification(),
    metadata=("workflow",),
    lanes=(Lane(name="triage", models=("other",)), Lane(name="code", models=("prod",))),
    default_model="prod",
)
CALLER = Caller(key="k", tenant="acme")

CARD = "4111 1111 1111 1111"
IBAN = "DE89 3704 0044 0532 0130 00"
# A key of the right form, put together so that scanners of this repository stay quiet.
SECRET = "AK" + "IA" + "Q3EGRTW5ZVNKD7XP"


def user(*texts: str) -> Message:
    return Message(role="user", parts=tuple(Text(text=text) for text in texts))


def ask(*messages: Message | str, model: str = "prod", **fields) -> Request:
    """A chat request; a string is a message of the user."""
    turns = tuple(user(message) if isinstance(message, str) else message for message in messages)
    return Request(dialect="openai-chat", model=model, messages=turns, **fields)


def reading(request: Request, whose: str = "") -> Reading:
    """The texts of a request, with what is known of those of one owner."""
    return read(request, owner(whose))


def signals(request: Request | str, caller: Caller = CALLER, config: Config = CONFIG, **fields) -> Signals:
    asked = ask(request) if isinstance(request, str) else request
    return classify(asked, caller, config, **{"endpoint": "/v1/chat/completions", "hour_utc": 9, **fields})
