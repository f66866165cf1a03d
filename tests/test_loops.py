"""Blocking calls, also while the interpreter ends: an answer or an error of ours, and never a wait without end."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading

import pytest

from mollm import MoLLM
from mollm.errors import RunError
from mollm.loops import LoopThread

CONFIG = {"llms": {"a": {"model": "scripted/hello"}}, "mixtures": {"m": {"description": "x", "workers": ["a"]}}}

BEGIN = f"""
import atexit, sys, threading
from mollm import MoLLM

CONFIG = {CONFIG!r}

def told(call, output=sys.stdout):
    try:
        found = call()
    except BaseException as error:
        found = f"{{type(error).__name__}}: {{error}}"
    output.write(f"{{found}}\\n")
    output.flush()

class Last:
    def __init__(self, call):
        self.call, self.told = call, told
    def __del__(self):
        self.told(self.call)

mollm = MoLLM(CONFIG)
"""
ENDS = "RunError: the interpreter ends, and nothing can be asked any more"

ASKED = "mollm.ask('Hi')\n"
LATE_CALLS = {
    "ask": "lambda: mollm.ask('Hi').text",
    "stream": "lambda: list(mollm.stream('Hi'))",
    "batch": "lambda: mollm.batch(['Hi', 'Ho'])",
    "route": "lambda: mollm.route('Hi')",
    "use": "lambda: mollm.use(CONFIG)",
    "predict": "lambda: mollm.predict('Hi')",
}
GRAPH = "from mollm import create_graph\ngraph = create_graph(CONFIG)\ngraph.invoke({'messages': [('user', 'Hi')]})\n"


def ended(program: str, code: int = 0, *, first: str = "") -> str:
    """Run a program to its end, which comes soon and without a word of complaint; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", first + BEGIN + program], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.returncode == code
    return done.stdout


@pytest.mark.parametrize("before", ["", ASKED], ids=["first call", "asked before"])
def test_calls_in_the_last_del_fail_at_once(before: str) -> None:
    """Objects that live to the end of the program and ask then get an error that says so, whichever way they ask."""
    lines = ended(before + "".join(f"last_{name} = Last({call})\n" for name, call in LATE_CALLS.items())).splitlines()

    assert len(lines) == len(LATE_CALLS)
    assert all(line.startswith(ENDS) for line in lines)


def test_a_graph_in_the_last_del_fails_at_once() -> None:
    """The same for `invoke` of a graph."""
    assert ended(GRAPH + "last = Last(lambda: graph.invoke({'messages': [('user', 'Hi')]}))\n").startswith(ENDS)


def test_a_graph_whose_thread_is_busy_for_ever_fails_at_once() -> None:
    """A turn that another thread took, and that nobody can give back any more, is not waited for."""
    program = '''
from mollm.queues import Queues
own = {}  # a thread that stands still keeps the names that it sees, which should not be those of this module
exec("""
def hold(turn, entered, for_ever):
    with turn:
        entered.set()
        for_ever.wait()
""", own)
queues, entered = Queues(300), threading.Event()
threading.Thread(target=own.pop("hold"), args=(queues.turn("t"), entered, threading.Event()), daemon=True).start()
entered.wait()
def wait(queues=queues):
    with queues.turn("t"):
        pass
last = Last(wait)
'''
    assert ended(program).startswith(ENDS)


def test_closing_in_the_last_del_waits_for_nobody() -> None:
    """Everything is closed by then, or stands still."""
    assert ended(ASKED + "last = Last(mollm.close)\n") == "None\n"


def test_an_exit_in_the_middle_keeps_its_code() -> None:
    """Also with an object that asks at the end, and a stream that was read in part."""
    program = ASKED + "last = Last(lambda: mollm.ask('Hi'))\nevents = mollm.stream('Hi')\nnext(events)\nsys.exit(3)\n"

    assert ended(program, code=3).startswith(ENDS)


def test_a_stream_that_was_read_in_part_ends_quietly() -> None:
    """No warning and no traceback for a generator that outlives everything."""
    assert ended("events = mollm.stream('Hi')\nprint(type(next(events)).__name__)\n") == "Routed\n"


@pytest.mark.parametrize("before", ["", ASKED], ids=["first call", "asked before"])
def test_exit_functions_may_still_ask(before: str) -> None:
    """What was registered after the object was made runs while its loop can be used; threads may be had before 3.12."""
    found = ended(f"{before}atexit.register(told, lambda: mollm.ask('Hi').text)\n")

    if before or sys.version_info < (3, 12):
        assert found == "hello\n"
    else:
        assert found.startswith(ENDS)


@pytest.mark.parametrize("before", ["", ASKED], ids=["first call", "asked before"])
def test_exit_functions_that_come_too_late_get_an_error(before: str) -> None:
    """What was registered before runs when all is closed, and nothing is opened again."""
    first = "import atexit\natexit.register(lambda: told(lambda: mollm.ask('Hi')))\n"

    assert ended(before, first=first).startswith(ENDS)


def test_a_thread_that_outlives_main_is_answered() -> None:
    """The program ends with its last thread, and that one asks."""
    program = ASKED + (
        "def work():\n"
        "    threading.main_thread().join()\n"
        "    told(lambda: mollm.ask('Hi').text)\n"
        "threading.Thread(target=work).start()\n"
    )

    assert ended(program) == "hello\n"


@pytest.mark.parametrize("when", ["thread", "atexit"])
def test_what_needs_a_thread_at_the_end_says_why_it_fails(when: str) -> None:
    """Names are looked up, and routers fitted, by threads that nobody can start any more."""
    far = {
        "llms": {"a": {"model": "hosted_vllm/m", "api_base": "http://localhost:9/v1", "retries": 0}},
        "mixtures": CONFIG["mixtures"],
    }
    program = f"mollm = MoLLM({far!r})\ndef work():\n    told(lambda: mollm.ask('Hi'))\n" + (
        "atexit.register(work)\n"
        if when == "atexit"
        else "def late():\n    threading.main_thread().join()\n    work()\nthreading.Thread(target=late).start()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BEGIN + program], capture_output=True, text=True, timeout=60
    )

    assert "the interpreter ends" in done.stdout
    assert "RuntimeError" not in done.stdout


def test_a_second_interrupt_at_the_end_does_not_hang() -> None:
    """Ctrl-C while exit functions run ends them, and the program."""
    program = ASKED + (
        "import os, signal\n"
        "def interrupted():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    mollm.ask('Hi')\n"
        "atexit.register(told, interrupted)\n"
        "last = Last(lambda: mollm.ask('Hi'))\n"
    )
    first, second = ended(program).splitlines()

    assert first.startswith("KeyboardInterrupt")
    assert second.startswith(ENDS)


def test_without_a_thread_there_is_an_error() -> None:
    """A machine, or a stack size, that allows no further thread is named, and no coroutine is lost."""
    size = threading.stack_size(1 << 46)
    try:
        with pytest.raises(RunError, match="no thread to answer in"):
            MoLLM(CONFIG).ask("Hi")
    finally:
        threading.stack_size(size)
    gc.collect()


def test_a_del_that_runs_while_the_loop_starts_is_answered() -> None:
    """Garbage may be collected at any allocation, also at those of whoever starts the loop."""
    program = """
import gc
class Circle:
    def __init__(self):
        self.own = self
    def __del__(self):
        told(lambda: mollm.ask('Hi').text)
gc.disable()
Circle()
def collect(*_):
    if collect.wanted:
        collect.wanted = False
        gc.collect()
collect.wanted = True
import threading
threading.setprofile(None)
sys.setprofile(lambda frame, *_: frame.f_code.co_qualname.endswith('_Running.start') and collect())
print(mollm.ask('Hi').text)
sys.setprofile(None)
"""
    assert ended(program) == "hello\nhello\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_ends_without_waiting_for_its_parents_thread() -> None:
    """Threads do not survive a fork; the child starts its own, and its end leaves the parent's alone."""
    program = ASKED + (
        "import os\n"
        "if os.fork() == 0:\n"
        "    told(lambda: mollm.ask('Hi').text)\n"
        "    sys.exit()\n"
        "os.wait()\n"
        "told(lambda: mollm.ask('Hi').text)\n"
    )
    assert ended(program) == "hello\nhello\n"


def test_a_loop_that_was_closed_starts_again() -> None:
    """`close` is for now."""

    async def one() -> int:
        return 1

    thread = LoopThread()
    assert thread.run(one()) == 1
    thread.close()
    assert thread.run(one()) == 1
    thread.close()
