"""What other programs wrap around a table: odd separators, odd quotation marks, whole lines in quotes.

Each is seen in the first lines and undone in all of them, so that the layout is looked for in plain text. The number
of lines stays as it is, because errors name lines.
"""

from __future__ import annotations

import re

from mtl_core.data.names import shown

_HEAD, _LINES = 100_000, 200
USUAL = "\t;|,"
_SEP = re.compile(r"\"?sep=(.)\"?(?=[\r\n])", re.IGNORECASE)
_ONE = frozenset("^~¦¤§·•¬\x01\x1e\x1f")  # signs that divide columns where they stand alone
_RUN = re.compile(r"[\t^~¦¤§·•¬|;,:*#@!&$%=]{2,4}")
_MARKS = ("'", "“”", "„“", "«»")
_SPACES = re.compile(r"(?<=[\r\n]) +(?=[\r\n])")


def undress(text: str) -> tuple[str, str | None, list[str]]:
    """(the text in plain dress, the odd separator that it had, warnings)."""
    if "\n " in text or "\r " in text:
        text = _SPACES.sub("", text)
    text, quotes = _plain_quotes(text)
    text, whole = _whole_lines(text)
    text, separator = _plain_separator(text)
    said = [f"The columns are divided by {_visible(separator)}; commas are safer for exchange."] if separator else []
    return text, separator, [*quotes, *whole, *said]


def _visible(separator: str) -> str:
    return shown(separator.encode("unicode_escape").decode("ascii") if not separator.isprintable() else separator)


def head(text: str) -> list[str]:
    """The first lines that are not blank, without one that is cut."""
    lines = text[:_HEAD].splitlines()[: _LINES + 1]
    if len(text) > _HEAD or len(lines) > _LINES:
        lines = lines[:-1]
    return [line for line in lines if line.strip()]


def _plain_quotes(text: str) -> tuple[str, list[str]]:
    """Cells in single or typographic quotation marks: in plain ones."""
    lines = head(text)
    for pair in _MARKS:
        first, last = pair[0], pair[-1]
        cell = rf"{first}[^{pair}\"]*+{last}"
        line = re.compile(rf"{cell}\s*+([{USUAL}]\s*+({cell}|[\d.+-]*+)\s*+)+")  # possessive: no long ways back
        if len(lines) > 1 and all(line.fullmatch(one) for one in lines[1:20]):
            signs = str.maketrans(pair, '"' * len(pair)) | (str.maketrans('"', "'") if pair == "'" else {})
            return text.translate(signs), [f"Cells are in {first}{last} and were read as if in quotation marks."]
    return text, []


def _whole_lines(text: str) -> tuple[str, list[str]]:
    """Lines that are in quotation marks as a whole: without them."""
    lines = head(text)
    if len(lines) < 2 or not all(len(line) > 2 and line[0] == '"' == line[-1] for line in lines):
        return text, []
    inner = [line[1:-1].replace('""', "\x00") for line in lines]
    if any('"' in line for line in inner):
        return text, []
    counts = [{line.count(sign) for line in inner} for sign in USUAL]
    if not any(len(one) == 1 and one != {0} for one in counts):
        return text, []
    unwrapped = "\n".join(
        line[1:-1].replace('""', '"') if len(line) > 1 and line[0] == '"' == line[-1] else line for line in text.splitlines()
    )
    return unwrapped, ["Each line was in quotation marks as a whole; they were taken off."]


def _plain_separator(text: str) -> tuple[str, str | None]:
    """Columns divided by one odd sign, or by several together: divided by tabs."""
    said = _SEP.match(text)
    start = said.end() if said else 0
    lines = head(text[start : start + 2 * _HEAD])
    if len(lines) < 2:
        return text, None
    if said and said.group(1) not in USUAL:
        separator: str | None = said.group(1)
    else:
        separator = _separator(lines)
    if separator is None or "\t" in text[:_HEAD].replace(separator, ""):
        return text, None
    return "sep=\t" * bool(said) + text[start:].replace(separator, "\t"), separator


def _separator(lines: list[str]) -> str | None:
    """The longest run of signs that all lines hold equally often, if it is not one of the usual separators."""
    runs: set[str] = {*_RUN.findall(lines[0]), *(sign for sign in _ONE if sign in lines[0])}
    even = [run for run in runs if all(line.count(run) == lines[0].count(run) for line in lines[1:])]
    best = max(even, key=lambda run: (len(run), lines[0].count(run)), default=None)
    if best is None or (not any(sign in best for sign in USUAL) and _usually_divided(lines)):
        return None
    return best


def _usually_divided(lines: list[str]) -> bool:
    """Whether a usual separator divides most lines into columns."""
    return any(sum(sign in line for line in lines) >= 0.5 * len(lines) for sign in USUAL)
