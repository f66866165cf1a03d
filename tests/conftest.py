"""Where the tests run: a cache of their own, bytecode that is kept, Ctrl-C as in a terminal; and what a property is."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from tests.fuzz import cases

if TYPE_CHECKING:
    from collections.abc import Iterable

# A machine that is busy with other things says nothing about a property: no deadlines, and examples that take longer.
settings.register_profile("mollm", max_examples=cases(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mollm")


def pytest_configure(config: pytest.Config) -> None:
    """Set up, once, what the workers of this run and all that they start inherit."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a script's job in the background ignores Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    # A router that another revision fitted and kept says nothing about this one.
    cache = tempfile.mkdtemp(prefix="mollm-tests-")
    os.environ["MOLLM_CACHE"] = cache
    config.add_cleanup(lambda: shutil.rmtree(cache, ignore_errors=True))
    # The tests start hundreds of Pythons; where no bytecode may be written, each would compile its libraries again.
    if sys.dont_write_bytecode and config.cache:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(config.cache.mkdir("bytecode"))


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Mark every property, and nothing else, with `fuzz`."""
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.fuzz)
