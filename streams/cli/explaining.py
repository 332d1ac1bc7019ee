"""``penstock explain``: the whole story of a request, from the topics themselves, whether analytics runs or not.

In: a request's id. Out: plan, probabilities, calls, cost, response, feedback, reward. Keeps nothing. Status 1 where the request is
not found or its id is ambiguous, 3 where the topics could not be read in time.
"""

from typing import Annotated

import typer

from streams.cli.printing import Failure, event_json, say, say_json
from streams.cli.surroundings import AsJson, reading, surroundings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    ctx: typer.Context,
    request_id: Annotated[str, typer.Argument(help="The request.")],
    conversation: Annotated[
        str | None, typer.Option(help="Its conversation: finds it faster, and tells equal ids apart.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Its tenant, where ids of several are equal.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="How long to read, in seconds.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story of a request: the plan with its probabilities, the calls, the cost, the answer, feedback and reward.

    Example: penstock explain 7f3a --conversation c-17
    """
    from streams.cli.story import stories, told

    with reading(surroundings(ctx)) as log:
        found = stories(
            log, surroundings(ctx).codec(), request_id, conversation=conversation, tenant=tenant, within_s=timeout
        )
    if not found:
        where = f" in conversation {conversation}" if conversation is not None else ""
        raise Failure(
            f"No event tells of request {request_id}{where}.",
            remedy="Texts are kept for 7 days; `penstock tail requests --from -10 --no-follow` shows the newest requests.",
        )
    if len(found) > 1:
        listed = "; ".join(f"--tenant {t} --conversation {c}" for t, c, _ in (story.identity for story in found))
        raise Failure(f"{len(found)} requests have the id {request_id}.", remedy=f"Choose one: {listed}.")
    (story,) = found
    if as_json:
        holder, conversation_id, _ = story.identity
        events = [event_json(event) for event in story.events]
        say_json({"tenant": holder, "conversation_id": conversation_id, "request_id": request_id, "events": events})
        return
    for line in told(story):
        say(line)
