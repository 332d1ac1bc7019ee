"""Loads workflows, the strategy catalogue, the settings and policies from their files.

Comes in: paths, the environment as a mapping, and for workflows the catalogue and the sources to
check them against. Goes out: frozen values of ``agents.deciding``. Keeps nothing. Fails with
``InvalidFile``, which holds every mistake of a file (of all files of a folder), and with
nothing else: a file that is not there or not readable is a mistake too.

All at once: pydantic stops looking at a whole where a part of it is wrong. So what is wrong is
taken out (or filled in where it is required) and the rest is checked again, until nothing new shows.
"""

import copy
from collections.abc import Collection, Mapping
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agents.deciding.catalogue import Catalogue
from agents.deciding.catalogue_file import CatalogueFile, CatalogueInvalidError, build_catalogue
from agents.deciding.governance import GovernanceFile
from agents.deciding.mistakes import Complaint, Path
from agents.deciding.policy_file import PolicyFile, check_policy_file
from agents.deciding.workflow import Workflow, check_workflow
from agents.loading.expected import complaint_from
from agents.loading.positions import MAX_BYTES, Document, read_document
from agents.loading.problems import InvalidFile, Problem, located

MAX_ROUNDS = 12
WORKFLOW_ENDINGS = (".yaml", ".yml")
_FILLED_IN: Mapping[str, object] = {
    "name": "unnamed",
    "version": "0.0.0",
    "id": "unnamed",
    "runs": "local",
    "sees": "public",
    "path": "unnamed",
}

Content = TypeVar("Content", bound=BaseModel)


def load_workflow(
    path: FilePath,
    catalogue: Catalogue | None = None,
    sources: Collection[str] | None = None,
) -> Workflow:
    """The workflow in this file, checked against the catalogue and the sources where given.

    Raises InvalidFile.
    """
    document = _document(path)
    workflow, problems = validated(document, Workflow)
    if workflow is not None:
        complaints = check_workflow(workflow, catalogue, sources)
        problems.extend(_problem(document, each) for each in complaints)
    if problems or workflow is None:
        raise InvalidFile(problems)
    return workflow


def load_workflows(
    folder: FilePath,
    catalogue: Catalogue | None = None,
    sources: Collection[str] | None = None,
) -> dict[str, Workflow]:
    """The workflows in a folder's .yaml and .yml files by name, in the order of the file names.

    Raises InvalidFile with the mistakes of all files; one name in two files is a mistake.
    """
    problems: list[Problem] = []
    workflows: dict[str, Workflow] = {}
    files: dict[str, FilePath] = {}
    try:
        paths = sorted(each for each in folder.iterdir() if each.suffix in WORKFLOW_ENDINGS)
    except OSError as error:
        raise InvalidFile([_unreadable(folder, error, "a folder of workflows")]) from error
    for path in paths:
        try:
            workflow = load_workflow(path, catalogue, sources)
        except InvalidFile as error:
            problems.extend(error.problems)
            continue
        if workflow.name in workflows:
            reason = f"workflow {workflow.name} is in {files[workflow.name]} and in {path}"
            complaint = Complaint(("name",), workflow.name, "a name of its own", reason=reason)
            problems.append(_problem(_document(path), complaint))
            continue
        workflows[workflow.name], files[workflow.name] = workflow, path
    if problems:
        raise InvalidFile(problems)
    return workflows


def load_catalogue(path: FilePath, environment: Mapping[str, str]) -> Catalogue:
    """The catalogue that this file means where these environment variables are set.

    Raises InvalidFile.
    """
    document = _document(path)
    file, problems = validated(document, CatalogueFile)
    catalogue = None
    if file is not None:
        try:
            catalogue = build_catalogue(file, environment)
        except CatalogueInvalidError as error:
            problems.extend(_problem(document, each) for each in error.complaints)
    if problems or catalogue is None:
        raise InvalidFile(problems)
    return catalogue


def load_settings(path: FilePath) -> GovernanceFile:
    """The settings in this file. Raises InvalidFile."""
    settings, problems = validated(_document(path), GovernanceFile)
    if problems or settings is None:
        raise InvalidFile(problems)
    return settings


def load_policy(path: FilePath, catalogue: Catalogue) -> PolicyFile:
    """The policy in this file, its strategies checked against the catalogue. Raises InvalidFile."""
    document = _document(path)
    stated, problems = validated(document, PolicyFile)
    if stated is not None:
        problems.extend(_problem(document, each) for each in check_policy_file(stated, catalogue))
    if problems or stated is None:
        raise InvalidFile(problems)
    return stated


def _document(path: FilePath) -> Document:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidFile([_unreadable(path, error, "a readable file")]) from error
    return read_document(str(path), content)


def _unreadable(path: FilePath, error: OSError, expected: str) -> Problem:
    said = (error.strerror or "unknown error").lower()
    return Problem(str(path), 1, 1, "", said, expected, reason=f"cannot be read: {said}")


def _problem(document: Document, complaint: Complaint) -> Problem:
    position = document.position(complaint.path, of_key=complaint.about_key)
    return located(document.file, position, complaint)


def validated(document: Document, shape: type[Content]) -> tuple[Content | None, list[Problem]]:
    """The content, with its mistakes taken out, and the mistakes; None where too little is left."""
    content = copy.deepcopy(document.content)
    problems = list(document.problems)
    reported: set[Path] = set()
    for round_number in range(MAX_ROUNDS):
        try:
            return shape.model_validate(content), problems
        except ValidationError as error:
            mistakes = error.errors(include_url=False)
        went_on = True
        for mistake in mistakes:
            complaint = complaint_from(shape, mistake)
            # what is missing after the first round, we took out ourselves
            is_new = round_number == 0 or mistake["type"] != "missing"
            if is_new and complaint.path not in reported:
                reported.add(complaint.path)
                problems.append(_problem(document, complaint))
            missing = mistake["type"] == "missing"
            went_on = _mend(content, complaint.path, missing=missing) and went_on
        if not went_on:
            break
    return None, problems


def _mend(content: Any, path: Path, *, missing: bool) -> bool:
    """Take out what stands at the path, or fill it in; False where neither can be done."""
    while path and isinstance(path[-1], int):
        path = path[:-1]  # the list, not its item: the places of the others must not move
    if not path:
        return False
    holder = content
    for part in path[:-1]:
        try:
            holder = holder[part]
        except (LookupError, TypeError):
            return True  # taken out already, for another mistake
    key = path[-1]
    if not isinstance(holder, dict):
        return True
    if missing:
        if key not in _FILLED_IN:
            return False
        holder[key] = _FILLED_IN[str(key)]
    elif isinstance(holder.get(key), list) and len(holder[key]) > 1:
        del holder[key][1:]  # it may only be too long
    else:
        holder.pop(key, None)
    return True
