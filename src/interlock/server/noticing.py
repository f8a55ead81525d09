"""Re-asks and edits: what a caller does within minutes of an answer says whether it was any good.

A caller that names a session or a user is remembered for a few minutes, in the memory of this process: of its
last questions no word, only hashes under a salt that nobody else has. Its next question is compared with them
behind the requests; the decision that it asks again about gets a signal.

Two questions are about the same where one repeats the other, adds to it or leaves something out, or where
it takes the place of the other in a conversation that has been seen to grow. A question of which something
was replaced (`capital of France`, `capital of Spain`) is another one. What programs do is passed over: turns
with results of tools, a library that tries again, requests side by side or without a pause that a person
would need, and prompts that are all cut from one template.
"""

import asyncio
import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from interlock.errors import StoreError
from interlock.live.amounts import Amount, reask
from interlock.live.exposition import added, routes_of
from interlock.server.case import LARGE, Asker, Case
from interlock.server.records import to_record
from interlock.store.sqlite import Store
from interlock.types.record import Noticed, Record, Status
from interlock.types.request import AnyPart, Message, Request, Text, ToolCall, ToolResult
from interlock.types.signals import Signals
from interlock.types.world import USER_KEYS
from interlock.wiring import now_us

WITHIN_US: Final = 300_000_000
"""So long after an answer a question can be about it."""
PAUSE_US: Final = 1_000_000
"""Who reads an answer and asks again takes longer; a program does not."""
MOST_CALLERS: Final = 1_000
MOST_QUESTIONS: Final = 6
"""Of one caller."""
MOST_WORDS: Final = 400
"""Of a question: half of them from its beginning, half from its end."""
MOST_CHARACTERS: Final = 16 * 1024
"""Of a question's beginning, and of its end, that are taken apart into words; the rest is only compared."""
MOST_WAITING: Final = 2_000
MOST_BYTES: Final = 32_000_000
"""Of the requests that wait."""
MOST_SIZE: Final = 4_000_000
"""Of one of them: of a larger one nothing is noticed."""
FEW_WORDS: Final = 4
"""`go on` and `yes, please` are said again without anything being wrong."""
ALIKE: Final = 0.6
LOOK_S: Final = 0.25
_SIGNS: Final = ".,;:!?…\"'()"
_AT_A_TIME: Final = 10
_RETRY: Final = "x-stainless-retry-count"
_IDEMPOTENCY: Final = "idempotency-key"


def asker_of(request: Request, signals: Signals, headers: Mapping[str, str]) -> Asker | None:
    """Who asks a question that can be asked again. Costs next to nothing without a session and user."""
    name = signals.session
    if name is None:
        name = request.user
        if name is None and signals.metadata:
            name = next((signals.metadata[key] for key in USER_KEYS if key in signals.metadata), None)
        if name is None:
            return None
        name = f"user:{name}"
    if request.operation != "answer" or headers.get(_RETRY, "0") != "0":
        return None
    return Asker(signals.tenant, signals.key, name, headers.get(_IDEMPOTENCY))


class Question(Struct, frozen=True, gc=False):
    """What somebody asked, without its words: hashes all, whatever its capitals, spaces and stops.

    `attached` is what came with it beside text. `history` is what was said before it, `whole` that and the
    question. `beginnings` are every beginning of `history` that ends with a message.
    """

    text: int
    words: tuple[int, ...]
    attached: int
    history: int
    whole: int
    beginnings: frozenset[int] = frozenset()


class Asked(Struct, frozen=True):
    """A question that has been dealt with: of whom, which decision, from when to when (microseconds)."""

    asker: Asker
    id: str
    question: Question
    began: int
    ended: int
    ok: bool


class Seen(Struct, frozen=True):
    """A decision about whose answer its caller asked again."""

    id: str
    kind: Noticed


def question_of(request: Request, salt: int) -> Question | None:
    """The question that a request ends with; None where it ends with no words of a user."""
    said = [message for message in request.messages if message.role not in ("system", "developer")]
    first = len(said)
    while first and said[first - 1].role == "user":
        first -= 1
    tail = said[first:]
    if first and said[first - 1].role == "tool":
        return None  # an agent goes on with what its tools have said, whatever it says to that
    words = " ".join(part.text for message in tail for part in message.parts if type(part) is Text)
    between, words = _outer(words)
    split = [bare for word in words.casefold().split() if (bare := word.strip(_SIGNS))]
    if not split:
        return None
    text = hash((salt, between, *split))
    if len(split) > MOST_WORDS:
        half = MOST_WORDS // 2
        split[half:-half] = []
    state, beginnings = salt, []
    for message in said[:first]:
        state = hash((state, message.role, *_contents(message)))
        beginnings.append(state)
    whole = state
    for message in tail:
        whole = hash((whole, message.role, *_contents(message)))
    return Question(
        text=text,
        words=tuple([hash((salt, word)) for word in split]),
        attached=hash(tuple(_attachments(tail))),
        history=state,
        whole=whole,
        beginnings=frozenset(beginnings),
    )


def _outer(text: str) -> tuple[str, str]:
    """What is between the beginning and the end of a long text, and those."""
    if len(text) <= 2 * MOST_CHARACTERS:
        return "", text
    return text[MOST_CHARACTERS:-MOST_CHARACTERS], f"{text[:MOST_CHARACTERS]} {text[-MOST_CHARACTERS:]}"


def _contents(message: Message) -> Iterator[Any]:
    for part in message.parts:
        if type(part) is Text:
            yield part.text
        elif type(part) is ToolCall:
            yield part.name, part.arguments
        elif type(part) is ToolResult:
            yield tuple(inner.text for inner in part.content if type(inner) is Text)
        else:
            yield _told(part)


def _attachments(tail: Sequence[Message]) -> Iterator[Any]:
    yield from (_told(part) for message in tail for part in message.parts if type(part) is not Text)


def _told(part: AnyPart) -> tuple[Any, ...]:
    """What tells a document or an image from another: where it is, how long it is, how it begins and ends."""
    data = getattr(part, "data", None) or getattr(part, "text", None) or ""
    place = (getattr(part, "url", None), getattr(part, "file_id", None))
    return type(part).__name__, *place, len(data), data[:64], data[-64:]


def is_near(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two texts, as the hashes of their words in order, are versions of one question.

    What both begin and end with is left out. Of what is in between, one may have nothing (something was
    added), or both much the same.
    """
    start, most = 0, min(len(one), len(other))
    if most < FEW_WORDS:
        return False
    while start < most and one[start] == other[start]:
        start += 1
    end = 0
    while end < most - start and one[-1 - end] == other[-1 - end]:
        end += 1
    a, b = set(one[start : len(one) - end]), set(other[start : len(other) - end])
    if not a or not b:
        return (start + end) / max(len(one), len(other)) >= ALIKE
    return len(a & b) / len(a | b) >= ALIKE


def same_intent(earlier: Question, later: Question, *, grew: bool) -> Noticed | None:
    """What a later question is to an earlier one. `grew`: the conversation has been seen to grow to this."""
    if earlier.attached != later.attached:
        return None
    in_place = earlier.history == later.history
    behind = earlier.whole in later.beginnings
    if not in_place and not behind:
        return None
    if earlier.text == later.text:
        return "reask" if in_place or len(later.words) >= FEW_WORDS else None
    if (in_place and grew) or is_near(earlier.words, later.words):
        return "edit"
    return None


class Memory:
    """Mutable: the last questions of each caller. It is told the instant; the oldest are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str | None, str], deque[Asked]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def take(self, asked: Asked) -> Seen | None:
        """Remember what was asked; the decision that it asks again about, if it does."""
        self._forget(asked.began)
        who = (asked.asker.tenant, asked.asker.key, asked.asker.name)
        known = self._known.get(who)
        if known is None:
            known = self._known[who] = deque(maxlen=MOST_QUESTIONS)
            if len(self._known) > MOST_CALLERS:
                self._known.popitem(last=False)
        self._known.move_to_end(who)
        found = _about(known, asked)
        # What only the later question of a pair is asked for need not be kept.
        known.append(replace(asked, question=replace(asked.question, beginnings=frozenset())))
        return found

    def _forget(self, now: int) -> None:
        while self._known:
            who, known = next(iter(self._known.items()))
            if now - known[-1].ended <= WITHIN_US:
                return
            del self._known[who]


def _about(known: Sequence[Asked], asked: Asked) -> Seen | None:
    question = asked.question
    grew = any(one.question.whole in question.beginnings for one in known)
    again = sum(one.question.text == question.text for one in known)
    near = {
        one.question.text
        for one in known
        if one.question.text != question.text and is_near(one.question.words, question.words)
    }
    for one in reversed(known):
        if not one.ok or not PAUSE_US <= asked.began - one.ended <= WITHIN_US:
            continue
        if asked.asker.attempt is not None and one.asker == asked.asker:
            return None
        kind = same_intent(one.question, question, grew=grew)
        if kind == "edit" and not grew and len(near) > 1:
            return None  # all cut from one template
        if kind == "reask" and one.question.history != question.history and again > 1:
            return None  # a program that says the same after each answer
        if kind is not None:
            return Seen(one.id, kind)
    return None


class Noticer:
    """Mutable: what has ended and is still to be compared, and the memory of what was asked.

    `told` is called with each record of which something was noticed, and what that adds to its counter.
    """

    def __init__(self, store: Store, told: Callable[[Record, Amount | None], None]) -> None:
        self._store = store
        self._told = told
        self._salt = int.from_bytes(os.urandom(8), "big")
        self._waiting: deque[tuple[Asker, Case, Status, int]] = deque()
        self._bytes = 0
        self._memory = Memory()

    def note(self, case: Case, status: Status) -> None:
        """A request has ended."""
        if case.asker is None or case.size > MOST_SIZE:
            return
        self._waiting.append((case.asker, case, status, now_us()))
        self._bytes += case.size
        while self._bytes > MOST_BYTES or len(self._waiting) > MOST_WAITING:
            self._next()

    async def look(self) -> None:
        """Compare what is waiting, a few at a time; others have their turn in between. Raises StoreError."""
        while self._waiting:
            size = 0
            for _ in range(min(_AT_A_TIME, len(self._waiting))):
                asker, case, status, ended = self._next()
                await self._compare(asker, case, status, ended)
                size += case.size
                if size > LARGE or not self._waiting:
                    break
            await asyncio.sleep(0)

    def _next(self) -> tuple[Asker, Case, Status, int]:
        one = self._waiting.popleft()
        self._bytes -= one[1].size
        return one

    async def _compare(self, asker: Asker, case: Case, status: Status, ended: int) -> None:
        if case.size > LARGE:
            question = await asyncio.to_thread(question_of, case.request, self._salt)
        else:
            question = question_of(case.request, self._salt)
        if question is None:
            return
        asked = Asked(asker, case.decision.id, question, case.at, ended, status == "ok")
        seen = self._memory.take(asked)
        if seen is None:
            return
        record = await asyncio.to_thread(keep, self._store, seen)
        if record is not None:
            self._told(record, reask(record))


def keep(store: Store, seen: Seen) -> Record | None:
    """Put a signal into the record that it is about, and count it; None: it has one already. Blocks."""
    row = store.get_record(seen.id)
    if row is None or row.noticed is not None:
        return None
    record = to_record(replace(row, noticed=seen.kind))
    more = added(reask(record), routes_of(store.counts.values()))
    return record if store.notice(seen.id, seen.kind, more).result() else None


async def notice(
    noticer: Noticer,
    say: Callable[..., None],
    fault: Callable[[str, Exception], object],
    look_s: float = LOOK_S,
) -> None:
    """Run until it is cancelled. A request that cannot be compared is left out, and said by `fault`."""
    while True:
        try:
            await noticer.look()
        except StoreError as error:
            say("store", error=error.problem)
        except Exception as error:  # noqa: BLE001 - one odd request must not end the noticing of all others
            fault("noticing", error)
        await asyncio.sleep(look_s)
