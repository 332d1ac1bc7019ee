"""Reads a folder of documents.

In: a folder. Out: its .md and .txt files as documents, in the order of their ids. Kept: nothing.
Fails: SourceUnreadable where the folder is missing or a file is not UTF-8.
"""

import re
from pathlib import Path

from agents.answering import Document

SUFFIXES = frozenset({".md", ".txt"})
_FIRST_HEADING = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)


class SourceUnreadable(Exception):
    """A folder or file of a source cannot be read; `path` is the one, `reason` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


def load_folder(path: Path) -> list[Document]:
    """Read every .md and .txt file under `path`; an id is the path relative to it, with slashes.

    The title is the first heading of the first level, else the file's name without its suffix.
    Raises SourceUnreadable.
    """
    if not path.is_dir():
        raise SourceUnreadable(path, "is not a folder")
    files = {
        file.relative_to(path).as_posix(): file
        for file in path.rglob("*")
        if file.suffix.lower() in SUFFIXES and file.is_file()
    }
    return [_load(document_id, files[document_id]) for document_id in sorted(files)]


def _load(document_id: str, file: Path) -> Document:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceUnreadable(file, f"is not UTF-8 ({error.reason})") from error
    except OSError as error:
        raise SourceUnreadable(file, f"cannot be read ({error.strerror})") from error
    found = _FIRST_HEADING.search(text) if file.suffix.lower() == ".md" else None
    title = found.group(1) if found else file.stem
    return Document(document_id=document_id, title=title, text=text)
