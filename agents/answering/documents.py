"""Reads a folder of documents.

In: a folder. Out: its .md and .txt files as documents, in the order of their ids, and those that could not be read, each with
its reason. Kept: nothing. Fails: SourceUnreadable where the folder is missing or cannot be listed.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from agents.answering import Document
from agents.answering.splitting import read_heading

SUFFIXES = frozenset({".md", ".txt"})


class SourceUnreadable(Exception):
    """A folder or file of a source cannot be read; `path` is the one, `reason` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


@dataclass(frozen=True)
class Unread:
    """A file, or a folder with what is in it, that could not be read; `reason` says why, without its text."""

    document_id: str
    reason: str


@dataclass(frozen=True)
class Loaded:
    """What a folder holds: what was read, and what was not, both in the order of their ids."""

    documents: tuple[Document, ...]
    unread: tuple[Unread, ...]


def load_folder(path: Path) -> Loaded:
    """Read every .md and .txt file under `path`; an id is the path relative to it, with slashes.

    The title is the first heading of the first level, else the file's name without its suffix.
    Raises SourceUnreadable.
    """
    if not path.is_dir():
        raise SourceUnreadable(path, "is not a folder")
    documents: list[Document] = []
    unread: list[Unread] = []

    def not_listed(error: OSError) -> None:
        folder = Path(error.filename)
        if folder == path:
            raise SourceUnreadable(path, f"cannot be listed ({error.strerror})") from error
        unread.append(Unread(_printable(folder, path), f"cannot be listed ({error.strerror})"))

    for folder, _, names in os.walk(path, onerror=not_listed):
        for file in (Path(folder, name) for name in names):
            if file.suffix.lower() in SUFFIXES:
                try:
                    documents.append(_load(file, path))
                except SourceUnreadable as error:
                    unread.append(Unread(_printable(file, path), error.reason))
    return Loaded(
        tuple(sorted(documents, key=lambda document: document.document_id)),
        tuple(sorted(unread, key=lambda one: one.document_id)),
    )


def _printable(file: Path, path: Path) -> str:
    return os.fsencode(file.relative_to(path).as_posix()).decode(errors="backslashreplace")


def _load(file: Path, path: Path) -> Document:
    document_id = file.relative_to(path).as_posix()
    if _printable(file, path) != document_id:
        raise SourceUnreadable(file, "has a name that is not UTF-8")
    if not file.is_file():
        raise SourceUnreadable(file, "is not a file, or a link that leads nowhere")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceUnreadable(file, f"is not UTF-8 ({error.reason})") from error
    except OSError as error:
        raise SourceUnreadable(file, f"cannot be read ({error.strerror})") from error
    title = _first_heading(text) if file.suffix.lower() == ".md" else ""
    return Document(document_id=document_id, title=title or file.stem, text=text)


def _first_heading(text: str) -> str:
    """Return the first title of the first level that says something, else nothing."""
    headings = (read_heading(line) for line in text.splitlines())
    return next((heading[1] for heading in headings if heading and heading[0] == 1 and heading[1]), "")
