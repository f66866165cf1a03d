"""`/predict`: a question in, the mixture (the expert) and its answer out; a list in, a list out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from mollm.loops import all_of
from mollm.server.body import Body, bad_field, read_json
from mollm.server.failures import problem_of, report
from mollm.server.wire import send_json

if TYPE_CHECKING:
    from starlette.types import Send

    from mollm.server.deployment import Deployment
    from mollm.server.handling import Handling
    from mollm.types import Answer

AT_ONCE = 8
"""Questions of one list that are worked on at the same time."""
MOST_QUESTIONS = 1024
"""In one list."""


class Prediction(Body):
    """What `/predict` is asked."""

    query: str = Field(min_length=1)


class Predictions(Body):
    """Several questions at once."""

    query: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1, max_length=MOST_QUESTIONS)


_LISTED = TypeAdapter(Annotated[list[Prediction], Field(min_length=1, max_length=MOST_QUESTIONS)])


async def predict(_: Deployment, handling: Handling, send: Send) -> None:
    """Answer a question, or each of a list, by the mixture that suits it."""
    queries = read_predict(await handling.read())
    places = 1 if isinstance(queries, str) else handling.spread(len(queries), AT_ONCE)
    found = await _answers(handling, queries, places)
    await send_json(send, found, handling.headers)


async def _answers(handling: Handling, queries: list[str] | str, places: int) -> Any:
    async with handling:
        if isinstance(queries, str):
            return _prediction(await handling.ask(queries))
        at_once = asyncio.Semaphore(places)

        async def one(query: str) -> Answer | Exception:
            try:
                async with at_once:
                    return await handling.ask(query)
            except Exception as error:  # noqa: BLE001 - told in its place in the list
                return error

        return _listed(await all_of([one(query) for query in queries]))


def read_predict(body: bytes) -> list[str] | str:
    """Read the body of `/predict`: one question, or a list of them.

    Raises:
        BadField: It is not JSON, holds a forbidden field, or is no question.
    """
    data = read_json(body)
    try:
        if isinstance(data, list):
            return [item.query for item in _LISTED.validate_python(data)]
        if isinstance(data, dict) and isinstance(data.get("query"), list):
            return Predictions.model_validate(data).query
        return Prediction.model_validate(data).query
    except ValidationError as error:
        raise bad_field(error) from None


def _listed(found: list[Answer | Exception]) -> list[dict[str, Any]]:
    errors = [item for item in found if isinstance(item, Exception)]
    if len(errors) == len(found):
        raise errors[0]
    for error in errors:
        report(error)
    return [problem_of(item).body if isinstance(item, Exception) else _prediction(item) for item in found]


def _prediction(answer: Answer) -> dict[str, Any]:
    return {"expert": answer.mixture, "response": answer.text}
