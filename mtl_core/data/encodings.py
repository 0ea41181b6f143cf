"""Which single-byte encoding a text is in: the one under which its words look most like words."""

from __future__ import annotations

import re
import unicodedata

_CANDIDATES = (  # where two read equally well, the more usual one comes first
    *("cp1252", "cp1250", "mac_roman", "cp850", "cp437", "cp1251", "koi8_r", "cp1253", "iso8859_5", "cp866", "latin_1"),
)
_WORD = re.compile(r"[^\W\d_]+")
_INSIDE = re.compile(r"(?<=[^\W\d_])[^\w\s\x00-\x7f’–—…](?=[^\W\d_])")  # a sign in the middle of a word
_BESIDE = re.compile(r"(?<![\w’])[£¤¥¦§¨©ª«¬®¯°±²³´µ¶·¸¹º»¼½¾¿‚ƒ„†‡ˆ‰‹•™›](?=[^\W\d_])|[\x80-\x9f]|[\u2500-\u259f\ue000-\uf8ff]")


def guess_single_byte(sample: bytes) -> tuple[str, int]:
    """(encoding, how much speaks against it) for the bytes of some lines that are not UTF-8."""
    found = [
        (_strangeness(text), place, name)
        for place, name in enumerate(_CANDIDATES)
        if (text := _decoded(sample, name)) is not None
    ]
    strange, _, name = min(found)
    return name, strange


def _decoded(sample: bytes, encoding: str) -> str | None:
    try:
        return sample.decode(encoding)
    except UnicodeDecodeError:
        return None


def _strangeness(text: str) -> int:
    words = {word for word in _WORD.findall(text) if not word.isascii()}
    symbols = {
        letter for letter in set(text) - set("°±©®×÷™") if unicodedata.category(letter) in ("Sm", "So") and not letter.isascii()
    }
    return (
        len(symbols)
        + 3 * len(set(_INSIDE.findall(text)))
        + 2 * len(set(_BESIDE.findall(text)))
        + sum(_odd(word) for word in words)
    )


def _odd(word: str) -> int:
    """A word in odd capitals, of two alphabets, or of Latin letters with marks and no plain one is no word of a language."""
    scripts = {unicodedata.name(letter, "?").split()[0] for letter in word if letter not in "ªºµ"}
    against = 0 if word.islower() or word.isupper() or word.istitle() else 2
    against += 3 if len(scripts) > 1 else 0
    return against + (3 if scripts == {"LATIN"} and len(word) > 2 and not any(letter.isascii() for letter in word) else 0)
