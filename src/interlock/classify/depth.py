"""Whether a caller asks for thorough work: by effort, or in so many words.

One of a cascade's reasons to go up. The words are looked for in the last message of the user only:
what was asked earlier has been answered, and a document's words are not the user's.
"""

from functools import cache
from typing import Any, Final

import re2

from interlock.classify.seen import Reading
from interlock.types.request import Request, Text

_DEEP_EFFORTS: Final = frozenset({"high", "xhigh", "max"})

# By language; each asks for more care, more steps or more detail than usual. Short on purpose.
_PHRASES: Final[dict[str, str]] = {
    "English": r"think (?:very |really )?(?:hard|harder|deeply|carefully|long)|step[- ]by[- ]step|in[- ]depth"
    r"|deep dive|take your time|be (?:very )?thorough|thoroughly|rigorous(?:ly)?|reason carefully"
    r"|exhaustive(?:ly)?|(?:detailed|comprehensive|deep) (?:analysis|explanation|review)",
    "German": r"denke? (?:gut|gründlich|genau|scharf) nach|schritt für schritt|gründlich|ausführlich"
    r"|tiefgehend|nimm dir zeit",
    "French": r"étape par étape|en profondeur|réfléchis(?:sez)? (?:bien|longuement)|de façon détaillée"
    r"|prends ton temps",
    "Spanish": r"paso a paso|en profundidad|piensa (?:bien|detenidamente)|detalladamente|a fondo",
    "Italian": r"passo (?:dopo|per) passo|in profondità|in modo approfondito|approfonditamente|rifletti bene",
    "Portuguese": r"passo a passo|em profundidade|detalhadamente|pense (?:bem|com cuidado)",
    "Dutch": r"stap voor stap|diepgaand|grondig|denk (?:goed|diep) na",
    "Polish": r"krok po kroku|szczegółowo|dogłębnie",
    "Russian": r"шаг за шагом|пошагово|подробно|тщательно|детально",
    "Ukrainian": r"крок за кроком|покроково|докладно|ретельно",
    "Turkish": r"adım adım|ayrıntılı|derinlemesine",  # noqa: RUF001 -- the dotless i is Turkish
    "Chinese": r"一步一步|一步步|逐步|深入|仔细(?:思考|分析)|详细(?:分析|说明|解释)",
    "Japanese": r"段階的に|詳しく|深く考え|じっくり",
    "Korean": r"단계별로|자세히|깊이 있게",
    "Arabic": r"خطوة بخطوة|بالتفصيل|بعمق",
    "Hindi": r"कदम दर कदम|विस्तार से|गहराई से",
}


@cache
def _automaton() -> Any:
    automaton = re2.Set.SearchSet()
    automaton.Add(f"(?i)(?:{'|'.join(_PHRASES.values())})")
    automaton.Compile()
    return automaton


def asks_for_depth(request: Request, reading: Reading) -> bool:
    """Whether high effort is set, or the last user message has one of the phrases.

    `reading` is of this very request.
    """
    if request.reasoning is not None and request.reasoning.effort in _DEEP_EFFORTS:
        return True
    messages, bare = request.messages, reading.bare
    place = len(messages) - 1
    while place >= 0 and messages[place].role != "user":
        place -= 1
    if place < 0:
        return False
    if bare is not None:
        text, known = bare[place], reading.known[place]
    else:
        text = "\n".join([part.text for part in messages[place].parts if type(part) is Text])
        known = reading.of(text)
    found = known.asks_for_depth
    if found is None:
        found = known.asks_for_depth = _asks(text)
    return found


def _asks(text: str) -> bool:
    return _automaton().Match(text.encode("utf-8", "replace")) is not None
