"""The docstrings of fastcnn for autodoc: plain text with aligned columns becomes reStructuredText with definition lists.

A line `name   what it is` begins an entry where two spaces or more stand between them, and so does every line below whose text stands in
the same column; lines indented as far belong to the entry before. Indented blocks are code. Everything else is text.
"""
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

ENTRY = re.compile(r"^(?P<name>[\w\"'.*,]+(?: [\w\"'.*]+)?(?:, [\w\"'.*]+)*)(?P<gap> {2,})(?P<text>\S.*)$")
BESIDE = re.compile(r" {4,}(?=[\w\"']+(?:, [\w\"']+)* {2,}\S)")         # two entries in a line
SPECIAL = re.compile(r"([\\*|_])")
CODE = re.compile(r"`([^`]+)`")


def converted(lines: Sequence[str]) -> list[str]:
    """A docstring, without the indentation of its first line, as reStructuredText."""
    out: list[str] = []
    for paragraph in _paragraphs(lines):
        if all(line.startswith("    ") for line in paragraph):
            out += ["::", "", *paragraph, ""]
        else:
            out += _paragraph(paragraph)
    return out


def _paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            part.append(line.rstrip())
        elif part:
            yield part
            part = []


def _paragraph(lines: Sequence[str]) -> list[str]:
    """Text, and entries between it."""
    out: list[str] = []
    text: list[str] = []
    column = 0
    for line in lines:
        found = ENTRY.match(line)
        if found or (column and _in_column(line, column)):
            out += _text(text)
            text = []
            column = found.start("text") if found else column
            first, *beside = BESIDE.split(line)
            out += [_escaped(first[:column].rstrip()), f"    {_escaped(first[column:])}"]
            for entry in map(ENTRY.match, beside):
                out += [_escaped(entry["name"]), f"    {_escaped(entry['text'])}"] if entry else []
        elif column and line.startswith("  ") and not text:
            out.append(f"    {_escaped(line.strip())}")
        else:
            if column and not text:
                out.append("")
            text.append(line.strip())
            column = 0
    return [*out, *_text(text), ""]


def _in_column(line: str, column: int) -> bool:
    """Whether a line is an entry whose name fills its column but for one space."""
    return len(line) > column and line[column - 1] == " " and line[column] != " " and bool(re.fullmatch(r"[\w\"']+ +", line[:column]))


def _text(lines: Sequence[str]) -> list[str]:
    return [_escaped(" ".join(lines)), ""] if lines else []


def _escaped(text: str) -> str:
    """Text as it is, `code` as code."""
    parts = CODE.split(text)
    return "".join(f"``{part}``" if k % 2 else SPECIAL.sub(r"\\\1", part).replace("`", "'") for k, part in enumerate(parts))


def setup(app: object) -> dict[str, bool]:
    def convert(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
        lines[:] = converted(lines)

    app.connect("autodoc-process-docstring", convert)               # type: ignore[attr-defined]
    return {"parallel_read_safe": True}
