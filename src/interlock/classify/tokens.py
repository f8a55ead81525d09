"""How many tokens a text or a request is, counted with no network.

A count is exact where the model's own vocabulary is here and the vendor has published what it puts
around messages; everything else is an estimate and says so: Claude and Gemini publish no tokenizer,
pictures and documents are counted by a figure, texts over 64 KB by samples. Vocabularies are loaded
when first asked for (20-100 ms, 5-30 MB each, and up to 300 ms more at their first rare word) and kept;
a server asks for its own with `load` and `make_tables`, before anybody waits.
"""

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct
from splintr import Tokenizer

from interlock.classify.disguise import text_in_base64
from interlock.classify.seen import Known, Reading
from interlock.types.request import (
    AnyPart,
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)


class Family(Struct, frozen=True, kw_only=True):
    """One way of counting: a vocabulary, and what goes around messages.

    `priming` is the tokens before the answer. `published`: the vendor says how messages are framed.
    `per_mille` scales counts where a vocabulary only stands in for one that is not public.
    """

    vocabulary: str
    priming: int = 3
    tools_preamble: int = 0
    published: bool = False
    per_mille: int = 1000


FAMILIES: Final[dict[str, Family]] = {
    "o200k": Family(vocabulary="o200k_base", published=True),
    # Models that reason begin their answer one token earlier, and get a text on how to call tools.
    "o200k-reasoning": Family(vocabulary="o200k_base", priming=2, tools_preamble=80, published=True),
    "cl100k": Family(vocabulary="cl100k_base", published=True),
    "gpt-oss": Family(vocabulary="gpt-oss"),
    "llama3": Family(vocabulary="llama3"),
    "llama2": Family(vocabulary="llama2"),
    "qwen3": Family(vocabulary="qwen3"),
    "deepseek_v3": Family(vocabulary="deepseek_v3"),
    "glm4": Family(vocabulary="glm4"),
    "kimi": Family(vocabulary="kimi"),
    "mistral_v1": Family(vocabulary="mistral_v1"),
    "mistral_v3": Family(vocabulary="mistral_v3"),
    "phi4": Family(vocabulary="phi4"),
    # No tokenizer is public. Recorded usage of plain text is 1.0 to 1.13 times o200k for Claude, and
    # offering tools adds a text of 346 tokens, as Anthropic documents.
    "claude": Family(vocabulary="o200k_base", tools_preamble=346, per_mille=1100),
    "gemini": Family(vocabulary="o200k_base"),
}

# The first prefix that a model's name begins with; then whether that is the model's own tokenizer.
_NAMES: Final[tuple[tuple[str, str, bool], ...]] = (
    ("gpt-oss", "gpt-oss", True),
    ("gpt-3.5", "cl100k", True),
    ("gpt-4o-search", "o200k", False),
    ("gpt-4o", "o200k", True),
    ("gpt-4.1", "o200k", True),
    ("gpt-4.5", "o200k", True),
    ("chatgpt-4o", "o200k", True),
    ("gpt-4", "cl100k", True),
    ("gpt-5-chat", "o200k", False),
    ("gpt-5", "o200k-reasoning", True),
    ("o1", "o200k-reasoning", True),
    ("o3", "o200k-reasoning", True),
    ("o4", "o200k-reasoning", True),
    ("text-embedding", "cl100k", True),
    ("claude", "claude", False),
    ("anthropic", "claude", False),
    ("gemini", "gemini", False),
    ("gemma", "gemini", False),
    ("codellama", "llama2", True),
    ("llama-2", "llama2", True),
    ("llama2", "llama2", True),
    ("llama-3", "llama3", True),
    ("llama3", "llama3", True),
    ("meta-llama-3", "llama3", True),
    ("llama", "llama3", False),
    ("qwen2", "qwen3", True),
    ("qwen3", "qwen3", True),
    ("qwen", "qwen3", False),
    ("deepseek-v3", "deepseek_v3", True),
    ("deepseek-r1", "deepseek_v3", True),
    ("deepseek", "deepseek_v3", False),
    ("glm-4", "glm4", True),
    ("glm", "glm4", False),
    ("kimi", "kimi", True),
    ("moonshot", "kimi", False),
    ("mixtral", "mistral_v1", True),
    ("mistral-7b", "mistral_v1", False),
    ("mistral-nemo", "mistral_v3", True),
    ("pixtral", "mistral_v3", True),
    ("mistral-large", "mistral_v3", False),
    ("mistral", "mistral_v3", False),
    ("codestral", "mistral_v3", False),
    ("ministral", "mistral_v3", False),
    ("phi-4", "phi4", True),
    ("phi4", "phi4", True),
)
DEFAULT_FAMILY: Final = "o200k"


@lru_cache(maxsize=1024)
def family_of(model_name: str) -> tuple[str, bool]:
    """The family of an upstream's model name, and whether it holds that model's own tokenizer.

    A vendor's path before the name (`meta-llama/Llama-3.1-8B`, `eu.anthropic.claude-…`) and its case
    do not matter. A name that is not known is counted as o200k, as an estimate.
    """
    name = model_name.rpartition("/")[2].lower()
    while "." in name and name.partition(".")[0].isalpha():
        name = name.partition(".")[2]
    for prefix, family, own in _NAMES:
        if name.startswith(prefix):
            return family, own
    return DEFAULT_FAMILY, False


def tokenizer_of(model_name: str) -> str:
    """A name for the tokenizer of a model: its family's where that is known, else the model's own."""
    family, own = family_of(model_name)
    return family if own else model_name.lower()


# --- texts ------------------------------------------------------------------------------------

EXACT_BYTES: Final = 64 * 1024
"""Up to here a text is counted whole: counting holds the interpreter, 64 KB for 16 ms at worst."""
_SAMPLES: Final = 16
_SAMPLE_CHARACTERS: Final = 1024


@cache
def _vocabulary(name: str) -> Any:
    return Tokenizer.from_pretrained(name)


def load(model_names: Iterable[str]) -> None:
    """Load what requests for some upstream models, or for unknown ones, are counted with.

    It holds the interpreter, for 100 ms each.
    """
    for name in _vocabularies(model_names):
        _vocabulary(name)


def make_tables(model_names: Iterable[str]) -> None:
    """Have the same make their tables, so that nobody waits for that later. It blocks for up to 300 ms each,
    but does not hold the interpreter.
    """
    for name in _vocabularies(model_names):
        _make_tables(name)


@cache
def _make_tables(name: str) -> None:
    """Return when a vocabulary has made its tables; in a batch it does not hold the interpreter meanwhile."""
    _vocabulary(name).encode_batch([_RARE])


def _vocabularies(model_names: Iterable[str]) -> Iterable[str]:
    families = (DEFAULT_FAMILY, *[family_of(name)[0] for name in model_names])
    return dict.fromkeys([FAMILIES[family].vocabulary for family in families])


_RARE: Final = "qzxvk"
"""No vocabulary has it for a word: at the first one that it has to join from pieces it makes its tables."""


def count(text: str, family: str) -> int:
    """Tokens of a text. Over EXACT_BYTES it is an estimate; then the cost no longer grows."""
    known = FAMILIES[family]
    return _scaled(_count(text, known.vocabulary), known)


def _scaled(tokens: int, family: Family) -> int:
    if family.per_mille == 1000:
        return tokens
    return -(-tokens * family.per_mille // 1000)


def _count(text: str, vocabulary: str) -> int:
    if is_long(text):
        return _sampled(text, vocabulary)
    return _counted(text, vocabulary)


def spell(ids: Sequence[int], family: str) -> str:
    """The text that ids stand for; what is no id of the family's stands for nothing."""
    text: str = _vocabulary(FAMILIES[family].vocabulary).decode_lossy(list(ids))
    return text


def is_long(text: str) -> bool:
    """Whether a text is too long to be counted whole."""
    length = len(text)
    if length * 4 <= EXACT_BYTES:
        return False
    return length > EXACT_BYTES or len(text.encode("utf-8", "replace")) > EXACT_BYTES


def _encodable(text: str) -> str:
    """A lone surrogate cannot be encoded; it counts as a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _sampled(text: str, vocabulary: str) -> int:
    """Tokens per character in evenly spaced samples, times the length."""
    step = (len(text) - _SAMPLE_CHARACTERS) // (_SAMPLES - 1)
    _make_tables(vocabulary)
    encode = _vocabulary(vocabulary).encode_ordinary
    tokens = sum(
        len(encode(_encodable(text[start : start + _SAMPLE_CHARACTERS])))
        for start in range(0, _SAMPLES * step, step)
    )
    return -(-tokens * len(text) // (_SAMPLES * _SAMPLE_CHARACTERS))


# --- requests ---------------------------------------------------------------------------------

# A message is framed by two marks, its role and a line break; a name takes its own tokens and one mark.
_PER_MESSAGE: Final = 4
_PER_NAME: Final = 1

# A picture in high detail is a base and some tiles of 512 pixels square: most are scaled to four or six.
_IMAGE: Final = 1105
_IMAGE_LOW_DETAIL: Final = 85
# A page of a document, where only its address or id is known; by size, a page is about 50 KB.
_PAGE: Final = 1500
_BYTES_PER_PAGE: Final = 50_000
# Sound is ten tokens a second; compressed speech is about 16 KB a second.
_AUDIO_BYTES_PER_TOKEN: Final = 1600


class _Tally:
    """The count of one request as it grows: texts kept to be counted together, figures added up."""

    __slots__ = ("estimated", "figures", "texts")

    def __init__(self, figures: int, *, estimated: bool) -> None:
        self.texts: list[str] = []
        self.figures = figures
        self.estimated = estimated

    def estimate(self, figure: int, text: str = "") -> None:
        """Add what only the vendor could count: a figure, or a text in a frame that is not public."""
        self.figures += figure
        self.estimated = True
        if text:
            self.texts.append(text)


def count_request(
    request: Request, family: str, exact: bool, reading: Reading | None = None
) -> tuple[int, bool]:
    """Input tokens of a request, and whether the figure is an estimate.

    `exact`: the family holds the model's own tokenizer. Messages of plain text are exact then, where
    their framing is published. Tools, schemas, calls and their results are counted by their JSON,
    pictures, documents and sound by a figure each: estimates. `reading` is of this very request, and only
    of requests that are counted by this vocabulary; without one nothing is remembered.
    """
    known = FAMILIES[family]
    framed = known.priming + _PER_MESSAGE * len(request.messages)
    estimated = not (exact and known.published)
    if reading is not None and reading.bare is not None and not request.tools and not request.response_format:
        texts = reading.bare
        characters = 0
        for text in texts:
            characters += len(text)
        if characters * 4 <= EXACT_BYTES:
            return _scaled(framed + _recounted(texts, reading.known, known), known), estimated
    tally = _Tally(framed, estimated=estimated)
    for message in request.messages:
        _add_message(message, tally)
    if request.tools:
        tools = msgspec.json.encode(request.tools).decode()
        tally.estimate(known.tools_preamble + _count_tools(tools, known.vocabulary))
    if request.response_format is not None:
        tally.estimate(0, msgspec.json.encode(request.response_format).decode())
    return _scaled(_total(tally, known, reading), known), tally.estimated


def _total(tally: _Tally, family: Family, reading: Reading | None) -> int:
    texts = tally.texts
    if sum(map(len, texts)) * 4 > EXACT_BYTES:
        joined = "\n".join(texts)
        if is_long(joined):
            tally.estimated = True
            return tally.figures + _sampled(joined, family.vocabulary)
    if reading is None:
        return tally.figures + sum([_counted(text, family.vocabulary) for text in texts])
    return tally.figures + _recounted(texts, [reading.of(text) for text in texts], family)


def _recounted(texts: list[str], known: list[Known], family: Family) -> int:
    """Tokens of some texts, each counted only where that is not known."""
    total = 0
    for place, about in enumerate(known):
        tokens = about.tokens
        if tokens is None:
            tokens = about.tokens = _counted(texts[place], family.vocabulary)
        total += tokens
    return total


def _counted(text: str, vocabulary: str) -> int:
    return len(_vocabulary(vocabulary).encode_ordinary(_encodable(text)))


@lru_cache(maxsize=64)
def _count_tools(tools: str, vocabulary: str) -> int:
    """Kept, as an agent sends the same definitions with every request."""
    return _count(tools, vocabulary)


def _add_message(message: Message, tally: _Tally) -> None:
    if message.name:
        tally.texts.append(message.name)
        tally.figures += _PER_NAME
    parts = message.parts
    if len(parts) == 1 and type(parts[0]) is Text:
        tally.texts.append(parts[0].text)
        return
    if parts:
        tally.estimated = True  # how parts are joined is not published
    for part in parts:
        _add_part(part, tally)


def _add_part(part: AnyPart, tally: _Tally) -> None:
    match part:
        case Text(text=text) | Refusal(text=text) | Thinking(text=text):
            tally.texts.append(text)
        case Image(detail=detail):
            tally.estimate(_IMAGE_LOW_DETAIL if detail == "low" else _IMAGE)
        case File():
            _add_file(part, tally)
        case Audio(data=data):
            tally.estimate(len(data) * 3 // 4 // _AUDIO_BYTES_PER_TOKEN + 1)
        case ToolCall(name=name, arguments=arguments):
            tally.estimate(_PER_MESSAGE, f"{name} {arguments}")
        case ToolResult(content=content):
            tally.estimate(_PER_MESSAGE)
            for inner in content:
                _add_part(inner, tally)
        case Opaque(value=value):
            tally.estimate(0, msgspec.json.encode(value).decode())


def _add_file(file: File, tally: _Tally) -> None:
    text = file.text
    if text is None and file.data is not None:
        text = text_in_base64(file.data)
    if text is not None:
        tally.estimate(_PER_MESSAGE, text)
    else:
        pages = 1 + len(file.data or "") * 3 // 4 // _BYTES_PER_PAGE
        tally.estimate(pages * _PAGE)
