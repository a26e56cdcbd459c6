# SPDX-License-Identifier: Apache-2.0
"""Documents cut from texts that people wrote: the King James Bible, Jane Austen's novels, Webster's dictionary of 1913,
founding documents of the United States, and Python's and Debian's documentation.

Each reader yields pieces of a few hundred to a few thousand characters that begin and end between paragraphs.
"""

from __future__ import annotations

import gzip
import random
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator

from .sources import AUSTEN, BIBLE, GCIDE, PYTHON, STATE, ascii_text
from .stream_words import _UNWANTED


def _plain(text: str) -> str:
    return ascii_text(text.replace("‘", "'").replace("“", '"').replace("”", '"').replace("—", "--"))


def _pieces(paragraphs: Iterable[str], rng: random.Random, joint: str = "\n\n") -> Iterator[str]:
    """Whole paragraphs, joined until a length between 300 and 2500 characters is reached."""
    piece, size, goal = [], 0, rng.randint(300, 2500)
    for paragraph in paragraphs:
        piece.append(paragraph)
        size += len(paragraph)
        if size >= goal:
            yield joint.join(piece)
            piece, size, goal = [], 0, rng.randint(300, 2500)
    if size > 200:
        yield joint.join(piece)


def _paragraphs(text: str) -> list[str]:
    """Lines of a paragraph joined to one."""
    return [" ".join(p.split()) for p in re.split(r"\n\s*\n", text) if p.strip()]


# ---- The Bible ----

# The lengths of a code that compress(1) writes, and the codes it keeps.
_FIRST_BITS, _LAST_BITS, _CLEAR = 9, 16, 256


def _lzw(data: bytes) -> bytes:
    """What compress(1) wrote, without its three bytes of header. Codes come in groups of eight of one length, so what
    is left of a group is skipped when the length changes."""
    table = [bytes([i]) for i in range(256)] + [b""]
    out, bits, position, group, previous = [], _FIRST_BITS, 0, 0, b""
    while position + bits <= 8 * len(data):
        code = int.from_bytes(data[position >> 3 : (position >> 3) + 4], "little") >> (position & 7) & ((1 << bits) - 1)
        position += bits
        if code != _CLEAR:
            entry = table[code] if code < len(table) else previous + previous[:1]
            if previous and len(table) < 1 << _LAST_BITS:
                table.append(previous + entry[:1])
            out.append(entry)
            previous = entry
        if code == _CLEAR or len(table) >= 1 << bits and bits < _LAST_BITS:
            position = group = group + -(-(position - group) // (8 * bits)) * 8 * bits
            bits += 1
        if code == _CLEAR:
            del table[_CLEAR + 1 :]
            bits, previous = _FIRST_BITS, b""
    return b"".join(out)


def bible(rng: random.Random) -> Iterator[str]:
    """The Bible, a chapter's verses joined; chapters that are mostly names or laws of the body are as they are."""
    data = BIBLE.read_bytes()
    n_windows = struct.unpack_from(">I", data, 88)[0]
    begins = struct.unpack_from(f">{n_windows + 1}I", data, 92)
    text = b"".join(_lzw(data[a:b]) for a, b in zip(begins, begins[1:])).decode("ascii")
    chapters: dict[str, list[str]] = {}
    for chapter, verse in re.findall(r"^(\w+?\d+):\d+ (.*)$", text, re.M):
        chapters.setdefault(chapter, []).append(verse)
    for verses in chapters.values():
        for piece in _pieces(verses, rng, " "):
            if not _UNWANTED.search(piece):
                yield piece


# ---- Novels ----


def austen(rng: random.Random) -> Iterator[str]:
    """Six novels, from R's serialised character vectors: a flag word, a length and the line."""
    data, begin = AUSTEN.read_bytes(), 0
    while begin < len(data):
        unpacker = zlib.decompressobj()
        book = unpacker.decompress(data[begin + 4 :])  # each object behind the four bytes of its unpacked length
        begin = len(data) - len(unpacker.unused_data)
        lines, position = [], 0
        while (position := book.find(b"\x00\x04\x00\x09", position)) >= 0:
            length = struct.unpack_from(">I", book, position + 4)[0]
            lines.append(_plain(book[position + 8 : position + 8 + length].decode("utf-8")))
            position += 8 + length
        prose = [
            p.replace("_", "") for p in _paragraphs("\n".join(lines)) if re.search(r"[a-z]{3}", p) and len(p) < 2500
        ]
        yield from _pieces(prose, rng)


# ---- Dictionaries ----


def webster(rng: random.Random) -> Iterator[str]:
    """Entries of Webster's dictionary of 1913: a word and its definitions, without sounds, origin and quotations."""
    with gzip.open(GCIDE, "rt", encoding="utf-8", errors="replace") as file:
        text = file.read()
    for block in re.split(r"\n(?=\S)", text):
        head, _, body = block.partition("\n")
        word = re.match(r"([A-Z][a-z]+) \\", head)
        if not word or "[1913 Webster]" not in body or "WordNet" in body:
            continue
        body = re.sub(r"\n {8,}.*(\n {8,}.*)*", "\n", body)  # quotations
        meanings = [_meaning(m) for m in re.split(r"\[1913 Webster\]", body)]
        meanings = [m for m in meanings if m][:4]
        entry = f"{word[1]}. " + " ".join(meanings)
        if meanings and len(entry) < 500 and not _UNWANTED.search(entry):
            yield entry


def _meaning(text: str) -> str:
    """One definition, or nothing where it is not a plain one."""
    text = " ".join(text.split())
    text = (
        re.sub(r"^[^.]*?\[[^\]]*\]\s*(\([A-Z][a-z.& ]+\))?\s*", "", text)
        if text[:80].count("[") and not re.match(r"\d", text)
        else text
    )
    text = re.sub(r"\s*--\s?[A-Z][\w. ]*\.?$|[{}]|^\d+\. ", "", text)
    good = (
        15 < len(text) < 220 and text.isascii() and not re.search(r"[\[\]\\()]|See |Obs|Syn|Note|--|pl\.|imp\.", text)
    )
    return text if good and text[0].isupper() else ""


def webster_pages(rng: random.Random) -> Iterator[str]:
    entries = [e for e in webster(rng)]
    rng.shuffle(entries)
    for i in range(0, len(entries), 5):
        yield "\n".join(sorted(entries[i : i + 5]))


# ---- Documents of state, documentation ----


def state(rng: random.Random) -> Iterator[str]:
    for name in ("us-constitution.gz", "us-declaration.gz"):
        with gzip.open(STATE / name, "rt", encoding="latin-1") as file:
            yield from _pieces((_plain(p) for p in _paragraphs(file.read())), rng)


def _prose(paragraph: str) -> bool:
    """Whether a paragraph of documentation is sentences."""
    return (
        len(paragraph) > 60
        and paragraph[0].isupper()
        and paragraph[-1] in ".:!?"
        and paragraph.count("`") < 12
        and "::" not in paragraph[:-2]
    )


def python(rng: random.Random) -> Iterator[str]:
    """The prose of Python's tutorial, questions, guides and library reference, without markup."""
    for folder in ("tutorial", "faq", "howto", "library", "reference", "using"):
        for file in sorted((PYTHON / folder).glob("*.txt")):
            text = re.sub(r":[\w:]+:`~?([^`<]*)(<[^`]*>)?`", r"\1", file.read_text(encoding="utf-8"))
            text = re.sub(r"``([^`]*)``|`([^`<]*?)\s*<[^`]*>`_+", lambda m: m[1] or m[2], text)
            text = re.sub(r"(?<!\w)\*{1,2}([^*\n]+)\*{1,2}(?!\w)", r"\1", text)
            paragraphs = [_plain(p) for p in _paragraphs(text)]
            yield from _pieces(
                [re.sub(r"::$", ":", p) for p in paragraphs if _prose(p) and not p.startswith("..")], rng
            )


READERS: dict[str, Callable[[random.Random], Iterator[str]]] = {
    "bible": bible,
    "austen": austen,
    "webster": webster_pages,
    "state": state,
    "python": python,
}
