"""`/predict`: a question in, an answer out; a list in, a list out."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import pytest_asyncio

from mollm.calling.base import Completion
from mollm.errors import ContextTooLong, EmptyReply, RateLimited
from mollm.server.predict import AT_ONCE
from mollm.types import Route
from tests.server.served import Client, config_of, served
from tests.upstream import Upstream, answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from mollm.calling.base import Chunk, Request
    from mollm.calling.calls import Calls
    from mollm.types import Question

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAILURES: dict[str, Exception] = {
    "long": ContextTooLong("too long"),
    "mute": EmptyReply("nothing"),
    "busy": RateLimited("too many", retry_after_seconds=6.5),
}


class Echo:
    """Says what it was asked; some questions fail, and those of a list in `after` wait for another to be done."""

    def __init__(self) -> None:
        self.after: dict[str, str] = {}
        self.asked: list[str] = []
        self.running = self.most = self.cancelled = 0
        self.changed = asyncio.Condition()
        self.done: Counter[str] = Counter()

    async def complete(self, request: Request) -> Completion:
        """Answer, when it may."""
        question = request.messages[-1]["content"]
        self.asked.append(question)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            async with self.changed:
                self.changed.notify_all()
                if question in self.after:
                    await self.changed.wait_for(lambda: self.done[self.after[question]])
            if question in FAILURES:
                raise FAILURES[question]
            return Completion({"role": "assistant", "content": f"You said {question}."})
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
            self.done[question] += 1
            async with self.changed:
                self.changed.notify_all()

    def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Nobody streams here."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing to close."""


class ByFirstLetter:
    """Routes capitals to `loud`; some questions it cannot stand."""

    kind: ClassVar[str] = "letters"

    async def route(self, question: Question, calls: Calls) -> Route:  # noqa: ARG002 - the interface has them
        """Decide."""
        query = question.last
        if query == "odd":
            raise ValueError(query)
        return Route("loud" if query[:1].isupper() else "quiet", {}, self.kind, "by its first letter")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncGenerator[tuple[Client, Echo], None]:
    """Two mixtures of one worker; the LLM behind both is an echo."""
    echo = Echo()
    config = {
        "llms": {"e": {"model": "scripted/x", "retries": 0}},
        "router": {"fallback": "quiet"},
        "mixtures": {name: {"description": name, "workers": ["e"]} for name in ("loud", "quiet")},
    }
    async with served(config, llms={"e": echo}, router=ByFirstLetter()) as server:
        yield server, echo


@pytest.fixture
def server(running: tuple[Client, Echo]) -> Client:
    """The server."""
    return running[0]


@pytest.fixture
def echo(running: tuple[Client, Echo]) -> Echo:
    """The LLM, as if it had never been asked."""
    found = running[1]
    found.asked, found.after, found.most, found.cancelled = [], {}, 0, 0
    found.done.clear()
    return found


def said(question: str) -> dict[str, str]:
    """The answer to a question."""
    return {"expert": "loud" if question[0].isupper() else "quiet", "response": f"You said {question}."}


async def test_one_question_has_one_answer(server: Client, echo: Echo) -> None:
    """The mixture that suits it is the expert."""
    for question in ("Hello", "hello"):
        reply = await server.post("/predict", {"query": question, "unknown": 1})

        assert (reply.status, reply.body) == (200, said(question))
    assert echo.asked == ["Hello", "hello"]


@pytest.mark.parametrize("as_objects", [True, False], ids=["objects", "texts"])
async def test_a_list_in_is_a_list_out(server: Client, echo: Echo, as_objects: bool) -> None:
    """In its order, also where the last is the first to be answered; equal questions are asked twice."""
    questions = ["A", "b", "C", "b"]
    echo.after = {"A": "C", "C": "b"}
    body: Any = [{"query": question} for question in questions] if as_objects else {"query": questions}

    reply = await server.post("/predict", body)

    assert reply.status == 200
    assert reply.body == [said(question) for question in questions]
    assert sorted(echo.asked) == sorted(questions)


async def test_a_list_of_one_is_a_list(server: Client, echo: Echo) -> None:
    """The form of the answer depends on the form of the question, not on how many there are."""
    assert (await server.post("/predict", {"query": ["Hi"]})).body == [said("Hi")]
    assert (await server.post("/predict", [{"query": "Hi"}])).body == [said("Hi")]
    assert echo.asked == ["Hi", "Hi"]


@pytest.mark.usefixtures("echo")
async def test_an_error_stands_in_its_place(server: Client, caplog: pytest.LogCaptureFixture) -> None:
    """The others are answered; each error is what the question alone would have brought."""
    questions = ["Hi", "long", "  ", "odd", "mute", "bye"]

    reply = await server.post("/predict", {"query": questions})

    assert reply.status == 200
    assert [("error" in item) for item in reply.body] == [False, True, True, True, True, False]
    assert (reply.body[0], reply.body[-1]) == (said("Hi"), said("bye"))
    codes = [item["error"]["code"] for item in reply.body[1:-1]]
    assert codes == ["context_length_exceeded", None, "internal_error", "upstream_failed"]
    assert "ValueError while an HTTP request was answered" in caplog.text, "what nobody foresaw is logged"
    for question, item in zip(questions[1:-1], reply.body[1:-1], strict=True):
        alone = await server.post("/predict", {"query": question})
        assert alone.body == item


@pytest.mark.parametrize(
    ("questions", "status", "retry_after"),
    [(["busy", "busy"], 429, "7"), (["mute"], 502, None), ([" ", "busy"], 400, None), (["odd", "odd"], 500, None)],
    ids=["busy", "mute", "blank first", "odd"],
)
async def test_where_all_failed_the_request_failed(
    server: Client, echo: Echo, questions: list[str], status: int, retry_after: str | None
) -> None:
    """With the status of the first, so that a client that looks at the status alone is not misled."""
    reply = await server.post("/predict", {"query": questions})

    assert reply.status == status
    assert set(reply.body) == {"error"}
    assert reply.headers.get("retry-after") == retry_after
    assert len(echo.asked) == sum(question in FAILURES for question in questions)


async def test_a_long_list_does_not_take_the_whole_server(server: Client, echo: Echo) -> None:
    """So many of its questions are worked on at once, and no more."""
    questions = [f"q{number}" for number in range(3 * AT_ONCE)]
    echo.after = dict.fromkeys(questions[: AT_ONCE - 1], questions[AT_ONCE - 1])
    echo.after[questions[AT_ONCE - 1]] = "go"

    pending = asyncio.create_task(server.post("/predict", {"query": questions}))
    async with echo.changed:
        await echo.changed.wait_for(lambda: echo.running == AT_ONCE)
        echo.done["go"] += 1
        echo.changed.notify_all()
    reply = await pending

    assert reply.body == [said(question) for question in questions]
    assert echo.most == AT_ONCE


async def test_a_client_that_goes_away_ends_the_whole_list(server: Client, echo: Echo) -> None:
    """What runs is cancelled, and what waited is not begun."""
    questions = [f"q{number}" for number in range(2 * AT_ONCE)]
    echo.after = dict.fromkeys(questions, "never")

    pending = asyncio.create_task(server.post("/predict", {"query": questions}))
    async with echo.changed:
        await echo.changed.wait_for(lambda: echo.running == AT_ONCE)
    pending.cancel()
    async with echo.changed:
        await echo.changed.wait_for(lambda: echo.running == 0)

    assert echo.cancelled == len(echo.asked) == AT_ONCE


@pytest.mark.parametrize(
    "body",
    [b"Hi", [], {}, {"query": ""}, [{"query": "Hi"}, {}], {"query": ["Hi"] * 1025}, {"query": "Hi", "api_key": "x"}],
    ids=["no JSON", "no question", "nothing", "empty", "one is missing", "too many", "a key"],
)
async def test_what_is_no_question_is_refused(server: Client, echo: Echo, body: Any) -> None:
    """400 before anybody is asked, also for the questions that are right."""
    reply = await server.post("/predict", body)

    assert reply.status == 400
    assert reply.body["error"]["type"] == "invalid_request_error"
    assert not echo.asked


async def test_the_mixture_answers_as_it_would_in_a_chat() -> None:
    """Workers and aggregator are asked; the response is the aggregator's."""
    replies = [*(answer(f"Draft {n}.") for n in range(3)), answer("Final.")]
    async with Upstream(*replies) as upstream, served(config_of(upstream)) as server:
        reply = await server.post("/predict", {"query": "Hi"})

    assert reply.body == {"expert": "three", "response": "Final."}
    assert len(upstream.received) == 4
