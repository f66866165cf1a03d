"""HTTP requests that find no room are refused by their head, in front of everything that an answer passes."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from mollm.server.auth import judged
from mollm.server.cors import allowed, marks
from mollm.server.failures import problem_of, refusal_for
from mollm.server.gate import GONE
from mollm.server.keys import Caller
from mollm.server.wire import header, path_of
from mollm.types import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from starlette.types import Scope

    from mollm.server.deployment import Deployment
    from mollm.server.gate import Refusal


class Gate:
    """Knows which HTTP requests ask a question, and refuses them while there is no room for them.

    Everything else passes, `/health` above all; so does who would be told something else, like one without a key.
    """

    def __init__(self, deployment: Deployment, questions: Container[str]) -> None:
        """Stand in front of `deployment`; `questions` are the paths that take a place."""
        self._deployment, self._questions = deployment, questions
        self._passed = 0
        self._said = ("", 0)
        self._told = GONE

    @property
    def is_full(self) -> bool:
        """There is no room for another question."""
        # Those that passed in this turn of the event loop come to the admission before the next.
        return self._deployment.admission.room <= self._passed

    def __call__(self, scope: Scope, is_gone: Callable[[], bool]) -> Refusal | None:
        """Return what an HTTP request is told that finds no room, `GONE` if its client left; None where it passes."""
        if not self._is_question(scope):
            return None
        if is_gone():
            return self._gone(scope)
        if self.is_full:
            return self.refusal(scope)
        if not self._passed:
            asyncio.get_running_loop().call_soon(self._turn)
        self._passed += 1
        return None

    def refusal(self, scope: Scope) -> Refusal | None:
        """Return what an HTTP request is told that finds no room; None where it needs none."""
        if not self._is_question(scope) or self._deployment.bodies.is_too_large(scope):
            return None
        caller = self._caller(scope)
        return self._refusal(scope, caller) if caller else None

    def _is_question(self, scope: Scope) -> bool:
        return scope["method"] == "POST" and path_of(scope).rstrip("/") in self._questions

    def _gone(self, scope: Scope) -> Refusal:
        if caller := self._caller(scope):
            self._count(caller)
            self._deployment.metrics.failed(None, "client_gone")
            self._record(scope, caller, new_id(), 499, "client_gone")
        return GONE

    def _caller(self, scope: Scope) -> Caller | None:
        found = judged(scope, self._deployment.keys, self._deployment.origins)
        return found if isinstance(found, Caller) else None

    def _count(self, caller: Caller) -> None:
        if quota := self._deployment.quotas.of(caller.name):
            quota.requests += 1

    def _record(self, scope: Scope, caller: Caller, id: str, status: int, outcome: str) -> None:  # noqa: A002
        if audit := self._deployment.audit:
            audit.refused(id, caller.name, path_of(scope).rstrip("/"), status, outcome)

    def _turn(self) -> None:
        self._passed = 0

    def _refusal(self, scope: Scope, caller: Caller) -> Refusal:
        self._count(caller)
        error = self._deployment.admission.refused(self._passed)
        said = (str(error), math.ceil(error.retry_after_seconds or 0))
        if said != self._said:  # what is told changes seldom, and laying it out takes longer than all the rest
            self._said, self._told = said, refusal_for(problem_of(error))
        id = new_id()  # noqa: A001 - the field's name
        self._record(scope, caller, id, 503, "overloaded")
        headers = [*self._told.headers, (b"x-request-id", id.encode())]
        origins, origin = self._deployment.origins, header(scope, b"origin")
        if origin or origins.are_listed:
            headers += marks(headers, allowed(origin, origins))
        return self._told._replace(headers=headers)
