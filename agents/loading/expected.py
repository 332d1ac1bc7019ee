"""What would have been right, read off the models: phrases and valid names for pydantic's errors.

Comes in: one of pydantic's errors and the model that was validated. Goes out: a ``Complaint``. Keeps
nothing. Pure. Each field's description is the phrase for what is expected there.
"""

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from agents.deciding.mistakes import AUTO, REFUSED, Complaint, Path

KEY_MARK = "[key]"


def complaint_from(shape: type[BaseModel], mistake: ErrorDetails) -> Complaint:
    """What pydantic found in a document of this shape, in the words of the shape's fields."""
    path: Path = mistake["loc"]
    if path[-1:] == (KEY_MARK,):
        path = path[:-1]
        holder, expected = _walk(shape, path[:-1])
        names = _names(get_args(holder)[0]) if get_args(holder) else ()
        return Complaint(path, path[-1], expected, names, about_key=True)
    if mistake["type"] == "extra_forbidden":
        holder, _ = _walk(shape, path[:-1])
        keys = tuple(holder.model_fields) if _is_model(holder) else ()
        return Complaint(path, path[-1], f"one of {', '.join(keys)}", keys, about_key=True)
    annotation, expected = _walk(shape, path)
    found = None if mistake["type"] == "missing" else mistake["input"]
    if mistake["type"] == REFUSED:
        context = mistake.get("ctx", {})
        valid = tuple(context.get("valid", ()))
        return Complaint(path, found, context["expected"], valid, context["reason"])
    names = _names(annotation)
    if names and expected.startswith(AUTO):
        names = (*names, AUTO)
    return Complaint(path, found, expected or _plain(mistake["msg"]), names)


def _plain(message: str) -> str:
    return message[:1].lower() + message[1:]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _walk(shape: Any, path: Path) -> tuple[Any, str]:
    """The annotation at a path, and the description of the field on the way that is nearest."""
    annotation, expected = shape, "a mapping"
    for part in path:
        annotation = _bare(annotation)
        if _is_model(annotation):
            field = annotation.model_fields.get(str(part))
            if field is None:
                return None, expected
            annotation, expected = field.annotation, field.description or expected
            continue
        inner = get_args(annotation)
        if not inner:
            return annotation, expected
        annotation = inner[-1] if get_origin(annotation) is dict else inner[0]
    return _bare(annotation), expected


def _bare(annotation: Any) -> Any:
    """Without Annotated and without "or None"."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, types.UnionType):
            stated = [each for each in get_args(annotation) if each is not types.NoneType]
            annotation = stated[0]
        else:
            return annotation


def _names(annotation: Any) -> tuple[str, ...]:
    annotation = _bare(annotation)
    return get_args(annotation) if get_origin(annotation) is Literal else ()
