"""`/feedback`: what clients say of the answers of their own key, over real sockets."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from mollm.errors import ConfigError
from mollm.feedback.base import MOST_NOTE
from mollm.server.deployment import Deployment
from mollm.server.quotas import Amount
from tests.server.served import Caller, Reply, config_of, served
from tests.upstream import Upstream, answer, stream

if TYPE_CHECKING:
    from pathlib import Path

ANNA, BERT = "the-key-of-anna-0001", "the-key-of-bert-0002"


def kept(upstream: Upstream, path: Path, **server: Any) -> dict[str, Any]:
    """Answers are kept; `anna` and `bert` have keys, and there is an audit log."""
    keys = [{"name": "anna", "key": ANNA, **server}, {"name": "bert", "key": BERT}]
    return {
        **config_of(upstream),
        "feedback": {"kind": "sqlite", "path": str(path / "f.sqlite")},
        "server": {"api_keys": keys, "audit": str(path / "audit.jsonl"), "usage": str(path / "usage.sqlite")},
    }


async def ask(server: Caller, key: str = ANNA, **body: Any) -> Reply:
    """Ask a question with a key."""
    messages = [{"role": "user", "content": "What is 2 + 2?"}]
    whole = {"model": "one", "messages": messages, **body}
    return await server.post("/v1/chat/completions", whole, authorization=f"Bearer {key}")


async def rate(server: Caller, body: Any, key: str = ANNA) -> Reply:
    """Rate an answer with a key."""
    return await server.post("/feedback", body, authorization=f"Bearer {key}")


async def delete(server: Caller, id: str, key: str = ANNA) -> Reply:  # noqa: A002 - an answer has an id
    """Delete an answer with a key."""
    headers = {"authorization": f"Bearer {key}"}
    async with server.session.delete(f"{server.base}/feedback/{id}", headers=headers) as response:
        return Reply(response.status, response.headers, await response.read())


async def test_an_answer_is_rated_and_deleted_by_whose_it_is(tmp_path: Path) -> None:
    """Streamed or not; another key's answer is not there for them, and each request leaves a line."""
    async with Upstream(answer("Four."), stream("Fo", "ur.")) as upstream, served(kept(upstream, tmp_path)) as server:
        first = (await ask(server)).body["id"]
        second = (await ask(server, BERT, stream=True)).headers["x-request-id"]
        replies = [
            await rate(server, {"id": first, "score": 1, "better": "4", "note": "short", "user": "ignored"}),
            await rate(server, {"id": second, "score": -0.5}, BERT),
            await rate(server, {"id": first, "score": 1}, BERT),
            await delete(server, first, BERT),
            await delete(server, second, BERT),
            await delete(server, second, BERT),
            await rate(server, {"id": "mollm-nobodys", "score": 1}),
            await server.post("/feedback", {"id": first, "score": 1}),
        ]
        store = server.deployment.mollm.catalog.feedback
        assert store is not None
        (entry,) = await asyncio.to_thread(lambda: list(store.entries()))
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()][2:]

    assert [reply.status for reply in replies] == [200, 200, 404, 404, 200, 404, 404, 401]
    assert [reply.body for reply in replies[:2]] == [{"id": first, "score": 1.0}, {"id": second, "score": -0.5}]
    assert replies[4].body == {"id": second, "deleted": True}
    assert {reply.body["error"]["code"] for reply in replies if reply.status == 404} == {"answer_not_found"}
    assert (entry.id, entry.key, entry.question, entry.text) == (first, "anna", "What is 2 + 2?", "Four.")
    assert entry.rating is not None
    assert (entry.rating.score, entry.rating.better, entry.rating.note) == (1.0, "4", "short")
    assert [line["id"] for line in lines] == [reply.headers["x-request-id"] for reply in replies]
    assert [(line["key"], line["path"], line["status"], line["outcome"]) for line in lines] == [
        ("anna", "/feedback", 200, "rated"),
        ("bert", "/feedback", 200, "rated"),
        ("bert", "/feedback", 404, "request"),
        ("bert", "/feedback/{id}", 404, "request"),
        ("bert", "/feedback/{id}", 200, "deleted"),
        ("bert", "/feedback/{id}", 404, "request"),
        ("anna", "/feedback", 404, "request"),
        (None, "/feedback", 401, "auth"),
    ]


async def test_what_cannot_be_meant_is_refused_by_its_field(tmp_path: Path) -> None:
    """With what would be right; a megabyte is no note, and odd ids are as unknown as any."""
    bodies: list[tuple[Any, str | None, int]] = [
        *[({"id": "x", "score": score}, "score", 400) for score in (2, -1.1, "1", None, True, [1])],
        (b'{"id": "x", "score": NaN}', None, 400),
        (b"[", None, 400),
        ([], None, 400),
        ({"score": 1}, "id", 400),
        ({"id": "x"}, "score", 400),
        ({"id": "", "score": 1}, "id", 400),
        ({"id": 7, "score": 1}, "id", 400),
        ({"id": "x" * 2000, "score": 1}, "id", 400),
        ({"id": "x", "score": 1, "note": "x" * 1_000_000}, "note", 400),
        ({"id": "x", "score": 1, "note": "x" * (MOST_NOTE + 1)}, "note", 400),
        ({"id": "x", "score": 1, "better": 7}, "better", 400),
        *[
            ({"id": odd, "score": 1}, "id", 404)
            for odd in ("last", "'; DROP TABLE answers; --", "\0\r\n", "ä\u202e", "%00")
        ],
    ]
    async with Upstream() as upstream, served(kept(upstream, tmp_path)) as server:
        for body, field, status in bodies:
            reply = await rate(server, body)
            assert (reply.status, reply.body["error"]["param"]) == (status, field), body
        for path in ("a/b", "..%2f..%2fetc", "%27%3b--", "%0d%0a", "x" * 5000, "%ff"):
            assert (await delete(server, path)).status == 404, path
        assert (await delete(server, "")).status == 405
        assert (await server.get("/feedback", authorization=f"Bearer {ANNA}")).status == 405


async def test_ratings_count_toward_the_minute_and_nothing_else(tmp_path: Path) -> None:
    """They ask no question: neither a place nor a day that is used up keeps anybody from rating what was answered."""
    limits = {"per_minute": 4, "tokens_per_day": 100_000, "at_once": 1}
    async with Upstream(answer()) as upstream, served(kept(upstream, tmp_path, limits=limits)) as server:
        answered = (await ask(server)).body["id"]
        quota = server.deployment.quotas.of("anna")
        assert quota is not None
        quota.places += 1
        quota.today.used += Amount(10**6)
        replies = [await rate(server, {"id": answered, "score": 1}) for _ in range(4)]
        assert (await rate(server, {"id": "x", "score": 1}, BERT)).status == 404, "another key goes on"

    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    assert int(replies[-1].headers["retry-after"]) > 0


async def test_a_server_that_keeps_nothing_says_so(tmp_path: Path) -> None:
    """And a reload may turn it on."""
    path = tmp_path / "my.yaml"
    async with Upstream(answer(), answer()) as upstream:
        off = config_of(upstream)
        path.write_text(json.dumps(off))
        async with served(str(path)) as server:
            before = await server.post("/feedback", {"id": (await server.chat(model="one")).body["id"], "score": 1})
            path.write_text(json.dumps({**off, "feedback": {"kind": "sqlite"}}))
            assert await server.deployment.reload()
            after = await server.post("/feedback", {"id": (await server.chat(model="one")).body["id"], "score": 1})

    assert (before.status, before.body["error"]["code"]) == (404, "answer_not_found")
    assert before.body["error"]["message"] == "no answers are kept here: `feedback.kind` is none"
    assert after.status == 200


async def test_a_file_that_is_held_delays_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who rates meanwhile is told to try again, without a word of the file; afterwards the answer is there."""
    async with Upstream(answer()) as upstream, served(kept(upstream, tmp_path)) as server:
        store = server.deployment.mollm.catalog.feedback
        assert store is not None
        store._patience = 0.01  # type: ignore[attr-defined] # noqa: SLF001 - nobody has two seconds
        store.close()  # it opens again, and then waits no longer than that
        other = sqlite3.connect(tmp_path / "f.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        answered = await ask(server)
        refused = await rate(server, {"id": answered.body["id"], "score": 1})
        other.execute("COMMIT")
        other.close()
        again = await rate(server, {"id": answered.body["id"], "score": 1})

    assert [reply.status for reply in (answered, refused, again)] == [200, 503, 200]
    assert refused.body["error"]["code"] == "feedback_unavailable"
    assert refused.headers["retry-after"] == "5"
    assert str(tmp_path) not in refused.raw.decode()
    assert f"{tmp_path}/f.sqlite" in caplog.text


async def test_a_server_whose_file_cannot_be_used_does_not_start(tmp_path: Path) -> None:
    """As for its other files; what is wrong is said with its place."""
    async with Upstream() as upstream:
        config = {**config_of(upstream), "feedback": {"kind": "sqlite", "path": str(tmp_path)}}
        deployment = Deployment(config)
        with pytest.raises(ConfigError, match=r"feedback\.path: .* cannot be used"):
            await deployment.start()
        await deployment.aclose()


async def test_a_page_may_delete_where_it_may_ask(tmp_path: Path) -> None:
    """A browser asks before."""
    async with Upstream() as upstream, served(kept(upstream, tmp_path)) as server:
        asked = {"origin": "http://localhost:3000", "access-control-request-method": "DELETE"}
        async with server.session.options(f"{server.base}/feedback/x", headers=asked) as response:
            assert response.status == 204
            assert "DELETE" in response.headers["access-control-allow-methods"]


async def test_each_answer_of_a_list_is_rated_by_its_place(tmp_path: Path) -> None:
    """The first has the id of the request, the others have it with their place behind."""
    async with Upstream(*[answer(f"{n}.") for n in range(60)]) as upstream, served(kept(upstream, tmp_path)) as server:
        queries = [f"Question {n}" for n in range(1, 13)]
        reply = await server.post("/predict", {"query": queries}, authorization=f"Bearer {ANNA}")
        first = reply.headers["x-request-id"]
        ids = [first, *[f"{first}-{place}" for place in range(2, 13)]]
        rated = [await rate(server, {"id": each, "score": place / 12}) for place, each in enumerate(ids)]
        store = server.deployment.mollm.catalog.feedback
        assert store is not None
        entries = await asyncio.to_thread(lambda: {entry.id: entry for entry in store.entries()})

    assert {each.status for each in rated} == {200}
    assert [entries[each].question for each in ids] == queries
