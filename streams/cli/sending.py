"""``penstock send`` and ``penstock feedback``: the application's side, by hand.

In: a message or a request's id. Out: the answer, or that the feedback was published. Keeps nothing. Status 1 for ResponseFailed,
3 where no response came in time or no broker answers.
"""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streams.cli.printing import FAILED, TIMED_OUT, USAGE, Failure, event_json, note, say, say_json, usd
from streams.cli.surroundings import AsJson, Surroundings, reading, surroundings

if TYPE_CHECKING:
    from schemas import ChunkGenerated, GivenDocument, RequestReceived, RequestRouted, ResponseFailed, ResponseReady

Sensitivity = Literal["public", "internal", "personal"]
Priority = Literal["balanced", "quality_over_speed", "speed_over_quality", "cost_over_quality"]
Kind = Literal["rating", "thumb", "edit", "retry", "abandon"]

DEFAULT_WORKFLOW = "customer_support"
RANGES: dict[str, tuple[float, float]] = {
    "rating": (1, 5),
    "thumb": (0, 1),
    "edit": (0, 1),
    "retry": (1, 1),
    "abandon": (1, 1),
}
_RECENT_PLANS = 2_000
_CANDIDATES_SHOWN = 5


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(send)
    app.command()(feedback)


def send(
    ctx: typer.Context,
    message: Annotated[str, typer.Argument(help="What to ask; - reads standard input.")],
    workflow: Annotated[str, typer.Option(help="Which workflow answers.")] = DEFAULT_WORKFLOW,
    why: Annotated[bool, typer.Option("--why", help="Also say why it was answered so.")] = False,
    conversation: Annotated[str | None, typer.Option(help="The conversation; by default one of its own.")] = None,
    tenant: Annotated[str, typer.Option(help="Who asks and pays.")] = "default",
    request_id: Annotated[str | None, typer.Option(help="The same id again is answered once and paid once.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer as it arrives.")] = False,
    sensitivity: Annotated[Sensitivity, typer.Option(help="How far the text may travel.")] = "internal",
    priority: Annotated[Priority | None, typer.Option(help="Instead of the workflow's own.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Demand a strategy by its id.")] = None,
    deadline_ms: Annotated[int | None, typer.Option(min=1, help="How long the answer is wanted.")] = None,
    document: Annotated[list[Path] | None, typer.Option(help="A text file to answer from; may be repeated.")] = None,
    rate: Annotated[int | None, typer.Option(min=1, max=5, help="Rate the answer.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="How long to wait, in seconds.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Publish a request, wait, and print the answer.

    Example: penstock send "How are dead letters replayed?" --why
    """
    from schemas import ResponseReady

    fields = {
        "tenant": tenant,
        "conversation_id": conversation,
        "request_id": request_id,
        "documents": [_document(path) for path in document or []],
        "strategy": strategy,
        "priority": priority,
        "sensitivity": sensitivity,
        "deadline_ms": deadline_ms,
        "stream": stream,
    }
    text = typer.get_text_stream("stdin").read() if message == "-" else message
    around = surroundings(ctx)
    pieces = Pieces(as_json=as_json) if stream else None
    response = asyncio.run(_asked(around, workflow, text, fields, pieces, rate=rate, timeout_s=timeout))
    plan = _plan_of(around, response) if why else None
    if as_json:
        say_json({**event_json(response), **({"routing": event_json(plan) if plan else None} if why else {})})
    if not isinstance(response, ResponseReady):
        if not as_json:
            _print_failure(response)
        raise typer.Exit(FAILED)
    if not as_json:
        if pieces is None or not pieces.finish(response.text):
            say(response.text)
        if why:
            for line in reasons(response, plan):
                say(line)


def feedback(
    ctx: typer.Context,
    request_id: Annotated[str, typer.Argument(help="The request that was answered.")],
    kind: Annotated[Kind, typer.Option(help="What kind of signal.")] = "rating",
    value: Annotated[
        float | None,
        typer.Option(help="rating 1 to 5, thumb 0 or 1, edit 0 to 1 (share changed); retry and abandon need none."),
    ] = None,
    conversation: Annotated[str | None, typer.Option(help="Its conversation; by default one of its own.")] = None,
    tenant: Annotated[str, typer.Option(help="Who asked.")] = "default",
    comment: Annotated[str | None, typer.Option(help="A word about it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give feedback about an answer.

    Example: penstock feedback 7f3a --kind rating --value 5
    """
    low, high = RANGES[kind]
    if value is None:
        if low < high:
            raise Failure(f"A {kind} needs a --value from {low:g} to {high:g}.", status=USAGE)
        value = low
    if not low <= value <= high or (kind == "thumb" and value not in (low, high)):
        raise Failure(
            f"A {kind} is {low:g}" + (f" to {high:g}" if high > low else "") + f", not {value:g}.", status=USAGE
        )
    around = surroundings(ctx)

    async def publish() -> Any:
        async with around.open_client(around.deployment(), None) as client:
            about = client.request("", "", tenant=tenant, conversation_id=conversation, request_id=request_id)
            return await client.give_feedback(about, kind, value, comment=comment)

    given = asyncio.run(publish())
    if as_json:
        say_json(event_json(given))
    else:
        say(f"{kind} {value:g} published for request {request_id}")


class Pieces:
    """Prints an answer as it arrives; a later step of the plan begins the answer anew."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._step = 0
        self._printed = ""

    def take(self, chunk: "ChunkGenerated") -> None:
        """Print one piece."""
        if self._as_json:
            say_json(event_json(chunk))
            return
        if chunk.step > self._step and self._printed:
            sys.stdout.write("\n")
            note("(the next alternative of the plan answers anew)")
            self._printed = ""
        self._step = max(self._step, chunk.step)
        if chunk.step == self._step:
            sys.stdout.write(chunk.text)
            sys.stdout.flush()
            self._printed += chunk.text

    def finish(self, text: str) -> bool:
        """End the line; False where the pieces were not the whole text, which is then to be printed."""
        if self._printed:
            sys.stdout.write("\n")
        return self._printed == text


def reasons(response: "ResponseReady", routed: "RequestRouted | None") -> list[str]:
    """Say in lines why a request was answered as it was; without its plan, what the response itself tells."""
    lines = ["", response.reasoning]
    if routed is not None:
        plan = routed.plan
        chosen = f"chosen with probability {plan.propensity:.3f} among {len(plan.candidates)}"
        lines.append(f"strategy   {response.strategy} ({response.model}), {chosen}")
        likely = sorted(plan.candidates, key=lambda each: (-each.probability, each.strategy))[:_CANDIDATES_SHOWN]
        lines += [f"           {each.probability:.3f}  {each.strategy}" for each in likely]
    else:
        lines.append(f"strategy   {response.strategy} ({response.model})")
    lines.append(f"profile    {response.profile_scope} version {response.profile_version}")
    lines.append(f"kind       {response.content_type}, complexity {response.complexity}")
    lines.append(f"cost       {usd(response.cost_usd)}, {response.latency_ms:.0f} ms")
    lines.append(f"sources    {', '.join(response.sources) or 'none'}")
    lines.append(f"request    {response.request_id}")
    return lines


async def _asked(
    around: Surroundings,
    workflow: str,
    text: str,
    fields: dict[str, Any],
    pieces: Pieces | None,
    *,
    rate: int | None,
    timeout_s: float,
) -> "ResponseReady | ResponseFailed":
    from schemas import ResponseReady

    async with around.open_client(around.deployment(), pieces.take if pieces else None) as client:
        request: RequestReceived = client.request(workflow, text, **fields)
        try:
            response: ResponseReady | ResponseFailed = await client.answer_to(request, within_s=timeout_s)
        except TimeoutError:
            raise Failure(
                f"No response to request {request.request_id} within {timeout_s:g} s.",
                remedy=f"`penstock explain {request.request_id}` tells how far it came.",
                status=TIMED_OUT,
            ) from None
        if rate is not None and isinstance(response, ResponseReady):
            await client.give_feedback(response, "rating", rate)
        return response


def _plan_of(around: Surroundings, response: "ResponseReady | ResponseFailed") -> "RequestRouted | None":
    from schemas import RequestRouted
    from streams.following import seen, so_far

    codec = around.codec()
    with reading(around) as log:
        for message in so_far(log, ["routing"], key=response.conversation_id, newest=_RECENT_PLANS):
            if message.key == response.conversation_id.encode():
                event = seen(message, codec).event
                if isinstance(event, RequestRouted) and event.event_id == response.routing_id:
                    return event
    return None


def _print_failure(response: "ResponseFailed") -> None:
    note(f"penstock: {response.code}: {response.error}")
    note(f"  {response.remedy}")


def _document(path: Path) -> "GivenDocument":
    from schemas import GivenDocument

    try:
        return GivenDocument(document_id=path.name, title=path.stem, text=path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.", status=USAGE) from error
    except UnicodeDecodeError:
        raise Failure(f"{path} is no text in UTF-8.", remedy="Convert it to text first.", status=USAGE) from None
