"""What a provider said, as the operator may read it: one short line without secrets and without the prompt."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import unicodedata
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mollm import MoLLM
from mollm.calling.attempt import ReliableLLM
from mollm.calling.base import Request
from mollm.calling.quoting import CUT, LONGEST, clean, quoted
from mollm.cli.checks import check_config, check_online
from mollm.errors import LLMError, MollmError
from mollm.llms.openai_compatible import OpenAICompatibleLLM
from mollm.options import Settings
from mollm.plain import to_plain
from tests.upstream import Upstream, answer, document, error, events, sse
from tests.work import LINEAR, growth, repeated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SENTINEL = "5e175e175e17"
PROMPT = "Tell me what the third of my four sisters wrote to me in the spring of that year."
KEY = "configured-key-without-a-prefix"


def asked(*texts: str, **settings: Any) -> Request:
    """A request with these messages."""
    return Request([{"role": "user", "content": text} for text in texts], Settings(**settings))


def line(said: str, request: Request | None = None, *secrets: str) -> str:
    """What the operator reads."""
    return quoted(clean(said), request or asked("Hi"), secrets)


@pytest.mark.parametrize(
    "text",
    [
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "model 'x' not found. Valid aliases: small, large, meta-llama/Llama-3.1-70B-Instruct",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens.",
        "The model `accounts/example/models/llama-v3p1-8b-instruct` does not exist",
        "Quota exceeded: GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        "Rate limit reached on tokens per minute (TPM): Limit 6000, Used 5900, Requested 400",
        "API key not valid. Please pass a valid API key.",
        "Missing bearer authentication in header",
        "max_tokens: 9000 > 4096, request req-12345",
        "Die Anfrage ist zu groß; 上下文超长",
    ],
)
def test_a_reason_is_quoted_as_it_is(text: str) -> None:
    """There is nothing to hide in it."""
    assert line(text) == text


@pytest.mark.parametrize(
    "secret",
    [
        f"sk-{SENTINEL}",
        f"sk-proj-{SENTINEL}_{SENTINEL}",
        f"sk-proj-****{SENTINEL}",
        f"sk-{SENTINEL[:4]}...{SENTINEL}",
        f"gsk_{SENTINEL}{SENTINEL}",
        f"hf_{SENTINEL}",
        f"xai-{SENTINEL}",
        f"AIzaSy{SENTINEL}",
        f"AKIA{SENTINEL.upper()}",
        f"Bearer {SENTINEL}",
        f"bearer abcdef{SENTINEL}",
        f"Basic {base64.b64encode(SENTINEL.encode()).decode()}{SENTINEL}",
        f"api_key={SENTINEL}",
        f"api-key: {SENTINEL}",
        f"Incorrect API key provided: {SENTINEL}.",
        f'"apiKey": "{SENTINEL}"',
        f"password='{SENTINEL}'",
        f"X-Api-Key: {SENTINEL}",
        f"Authorization: Bearer {SENTINEL}",
        f"Authorization: {SENTINEL}",
        f"http://user:{SENTINEL}@example.org/v1",
        f"https://example.org/v1?key={SENTINEL}&x=1",
        f"https://example.org/v1?api_key={SENTINEL}",
        f"access_token={SENTINEL}",
        f"key=a{SENTINEL}",
        f"token: {SENTINEL}",
        f"the key 'x{SENTINEL}' was refused",
        f"API key {SENTINEL} is invalid",
        f"passphrase is {SENTINEL}",
        f"Cookie: session={SENTINEL}",
        f"eyJhbGciOiJI.eyJzdWIi{SENTINEL}.{SENTINEL}",
        SENTINEL * 3,
        base64.b64encode(bytes(range(60))).decode() + SENTINEL,
        f"data:image/png;base64,iVBORw0KGgo{SENTINEL * 5}",
    ],
)
@pytest.mark.parametrize("around", ["{}", "The key {} is wrong", '{{"error": "{}"}}', "a\n{}\nb", "x" * 250 + " {}"])
def test_what_looks_like_a_secret_is_taken_out(secret: str, around: str) -> None:
    """Whole, masked, in a header, a URL or a parameter."""
    found = line(around.format(secret))

    assert SENTINEL not in found
    assert SENTINEL.upper() not in found


@pytest.mark.parametrize("form", ["{}", "key {} is unknown", "x{}y", "{:.12}***"])
def test_the_key_of_the_configuration_is_taken_out(form: str) -> None:
    """Whatever it looks like, and in other forms."""
    for key in (KEY, quote(KEY, safe=""), base64.b64encode(KEY.encode()).decode()):
        found = line(form.format(key), None, KEY)

        assert not any(key[start : start + 8] in found for start in range(len(key) - 8))


@pytest.mark.parametrize(
    "echo",
    [
        f"Invalid content: {PROMPT}",
        f"[{{'type': 'missing', 'input': {{'content': '{PROMPT}'}}}}]",
        f"near '{PROMPT[10:50]}'",
        f"input_value='{PROMPT[:30]}...{PROMPT[-30:]}'",
        f"{PROMPT[:24]}|{PROMPT[-24:]}",
        PROMPT.replace(" ", "\n"),
        PROMPT.replace(" ", "\\n"),
        PROMPT.replace("e", "\\u0065"),
    ],
)
def test_what_is_repeated_of_the_request_is_taken_out(echo: str) -> None:
    """24 characters of it or more, also where it was escaped on its way."""
    for request in (asked(PROMPT), asked("Hi", f"x {PROMPT} y", "ok"), asked(PROMPT.replace(" ", "\n"))):
        found = line(echo, request)

        assert CUT in found
        assert not any(PROMPT[start : start + 24] in found for start in range(len(PROMPT) - 23))


@pytest.mark.parametrize(
    "disguised",
    [
        *(str.upper, str.title, quote, quote_plus, html.escape, repr),
        *(
            lambda text, by=by: text.replace(" ", by)
            for by in ("_", "  ", "-", " - ", "\u200b", "\u00a0", "▁", "Ġ", "")
        ),
        lambda text: str(text.split()),
        lambda text: str(list(text)),
        lambda text: str(list(text.encode())),
        lambda text: text.encode().hex(" "),
        lambda text: "".join(f"&#{ord(char)};" for char in text),
        lambda text: json.dumps(json.dumps(text)),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    ],
)
@pytest.mark.parametrize(
    "text", ["The PIN of Rosalind Featherstonehaugh is 8812 at the bank", "s3cr3t-Passphrase.2024_for/Acme"]
)
def test_no_disguise_brings_a_prompt_or_a_key_into_the_log(text: str, disguised: Callable[[str], str]) -> None:
    """Another case, escapes of URLs, HTML or JSON, tokens, the numbers of characters."""
    said = f"cannot be parsed: {disguised(text)} was refused"

    for found in (line(said, asked(text)), line(said, None, text)):
        assert found.startswith("cannot be parsed: ")
        left = found.removeprefix("cannot be parsed: ").replace(CUT, "").removesuffix("was refused")
        assert sum(map(str.isalnum, left)) < 4


def test_texts_beside_the_messages_are_taken_out_too() -> None:
    """Of tools, their calls, and what a schema describes; a name is not."""
    long = "What this tool does is nobody's business but ours alone."
    tool = {"type": "function", "function": {"name": "lookup", "description": long}}
    call = {"id": "1", "type": "function", "function": {"name": "lookup", "arguments": f'{{"q": "{PROMPT}"}}'}}
    request = Request([{"role": "assistant", "content": None, "tool_calls": [call]}], Settings(tools=[tool]))

    found = line(f"the tool lookup is invalid: {long} / {PROMPT}", request)

    assert found == f"the tool lookup is invalid: {CUT} / {CUT}"


@given(st.text(max_size=800), st.text(min_size=24, max_size=120), st.text(max_size=40))
def test_it_is_one_short_line_without_the_prompt(before: str, prompt: str, after: str) -> None:
    """Whatever a provider sends."""
    found = line(f"{before}{prompt}{after}", asked(prompt))

    assert len(found) <= LONGEST
    assert not any(unicodedata.category(char)[0] == "C" or char in "\n\r\u2028\u2029" for char in found)
    cleaned = clean(prompt)
    assert not any(cleaned[start : start + 24] in found for start in range(len(cleaned) - 23))


@given(
    st.text(st.characters(codec="utf-8"), max_size=80),
    st.from_regex(r"sk-[A-Za-z0-9_-]{20,60}", fullmatch=True),
    st.text(st.sampled_from(" \n\"'`,;:<>(){}[]"), min_size=1, max_size=3),
)
def test_no_key_survives_whatever_stands_around_it(before: str, key: str, around: str) -> None:
    """Not even eight characters of it."""
    found = line(f"{before}{around}{key}{around}")

    assert not any(
        key[start : start + 8] in found for start in range(3, len(key) - 7) if key[start : start + 8] not in before
    )


def test_the_work_on_long_messages_is_linear() -> None:
    """The event loop waits meanwhile."""
    said = clean(f"{'a b ' * 200}{PROMPT}{'nothing of that ' * 200}")

    def work(text: str) -> None:
        quoted(said, asked(*(f"{number} {text}" for number in range(10)), "a " * len(text)), [KEY])

    assert growth(work, repeated("", f"{PROMPT} ", "")) < LINEAR


# The log


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What the operator reads, with its level."""
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "mollm"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_log_says_why_a_call_failed(caplog: pytest.LogCaptureFixture, *, streamed: bool) -> None:
    """Once, with LLM, address and status; the exception and its text have mollm's words alone."""
    reason = '"auto" tool choice requires --enable-auto-tool-choice'
    async with Upstream(error(400, f"{reason} {KEY} {PROMPT}")) as upstream:
        client = OpenAICompatibleLLM("m", api_base=upstream.base_url, api_key=KEY)
        llm = ReliableLLM("coder", client, retries=0, secrets=[KEY])
        with pytest.raises(LLMError) as caught:
            if streamed:
                async for _ in llm.stream(asked(PROMPT)):
                    pass
            else:
                await llm.complete(asked(PROMPT))
        await llm.aclose()

    place = f"coder at 127.0.0.1:{upstream.port}"
    said = f"{reason} {CUT} {CUT}"
    assert lines(caplog) == [("WARNING", f'{place}: the provider refused the request (HTTP 400); it said: "{said}"')]
    assert caught.value.said == said
    assert reason not in f"{caught.value} {caught.value!r} {caught.value.message}"


async def test_a_call_that_is_tried_again_is_told_from_one_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """The first is no warning: the next try may bring the answer; the line says when that is."""
    caplog.set_level(logging.INFO, "mollm")
    async with Upstream(error(503, "busy", retry_after="0"), answer("Four.")) as upstream:
        llm = ReliableLLM("m", OpenAICompatibleLLM("m", api_base=upstream.base_url), retries=1)
        assert (await llm.complete(asked("2 + 2?"))).text == "Four."
        await llm.aclose()

    ((level, text),) = lines(caplog)
    told = re.fullmatch(r'm at .*; it said: "busy" \(tried again in ([0-9.]+) s\)', text)
    assert level == "INFO"
    assert told is not None
    assert float(told[1]) > 0


async def test_a_stream_that_breaks_off_leaves_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """Also after its first token."""
    piece = sse({"choices": [{"index": 0, "delta": {"content": "Fo"}}]})
    async with Upstream(events(piece, sse({"error": {"message": "out of memory", "code": 500}}))) as upstream:
        llm = ReliableLLM("m", OpenAICompatibleLLM("m", api_base=upstream.base_url))
        with pytest.raises(LLMError):
            async for _ in llm.stream(asked("Hi")):
                pass
        await llm.aclose()

    ((level, text),) = lines(caplog)
    assert (level, text.endswith('it said: "out of memory"')) == ("WARNING", True)


async def test_an_answer_does_not_quote_the_providers_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """It says in mollm's words what failed; the log says why."""
    async with Upstream(error(400, "Valid aliases: small, large"), answer("4"), answer("4")) as upstream:
        llm = {"model": "hosted_vllm/m", "api_base": upstream.base_url, "retries": 0}
        mixture = {"description": "x", "workers": ["a", "b", "c"], "aggregator": {"method": "vote"}}
        config = {"llms": dict.fromkeys("abc", llm), "mixtures": {"m": mixture}}
        async with MoLLM(config) as mollm:
            found = await mollm.aask("2 + 2?")

    assert sum(proposal.error is not None for proposal in found.proposals) == 1
    assert "aliases" not in f"{found!r} {to_plain(found)}"
    assert "Valid aliases: small, large" in caplog.text


async def test_check_online_says_why(tmp_path: Path) -> None:
    """With file, LLM, and the provider's own reason, without the key."""
    path = tmp_path / "m.yaml"
    async with Upstream(document({"detail": f"Valid aliases: small, large; not {KEY}"}, 404)) as upstream:
        path.write_text(
            f"llms:\n  a: {{model: hosted_vllm/m, api_base: '{upstream.base_url}', api_key: {KEY}, retries: 0}}\n"
            "mixtures:\n  m: {description: d, workers: [a]}\n"
        )
        report = await check_online(check_config(path))

    assert report.problems == (
        "a: no such model or address; check `model` and `api_base` (HTTP 404); "
        f'it said: "Valid aliases: small, large; not {CUT}"',
    )


async def test_an_address_that_cannot_tell_its_window_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """It is asked again, but the log is not filled with it."""
    async with Upstream() as upstream:
        upstream.fixed["/v1/models"] = error(500, "no models today")
        llm = ReliableLLM("m", OpenAICompatibleLLM("m", api_base=upstream.base_url))
        assert [await llm.context_window() for _ in range(3)] == [8192] * 3
        await llm.aclose()

    ((level, text),) = lines(caplog)
    assert level == "WARNING"
    assert "could not be asked for its context window" in text
    assert text.endswith('it said: "no models today"')


@pytest.mark.parametrize(
    ("entries", "window"),
    [
        ([{"id": "base", "max_model_len": 4096}, {"id": "m", "max_model_len": None, "parent": "base"}], 4096),
        (
            [
                {"id": "m", "max_model_len": None, "parent": "b"},
                {"id": "b", "parent": "c"},
                {"id": "c", "max_model_len": 7},
            ],
            7,
        ),
        ([{"id": "m", "max_model_len": None, "parent": "m"}], 8192),
        ([{"id": "m", "parent": "gone"}, {"id": "x", "max_model_len": 4096}], 8192),
        ([{"id": "m", "max_model_len": 2048, "parent": "base"}, {"id": "base", "max_model_len": 4096}], 2048),
        ([{"id": "m", "meta": {"n_ctx": 512}}], 512),
        ([{"id": "m", "meta": None, "context_length": 1024}], 1024),
        ([{"id": "other", "max_model_len": 4096}], 4096),
        (["m", None, 7, {"id": None}, {"id": "m", "max_model_len": "4096"}], 8192),
        ([], 8192),
    ],
)
async def test_an_adapter_has_the_window_of_the_model_under_it(entries: list[Any], window: int) -> None:
    """As vLLM lists it; whatever else stands there is not read as one."""
    async with Upstream() as upstream:
        upstream.fixed["/v1/models"] = document({"object": "list", "data": entries})
        llm = ReliableLLM("m", OpenAICompatibleLLM("m", api_base=upstream.base_url))
        found = await llm.context_window()
        await llm.aclose()

    assert found == window


def test_every_error_keeps_what_was_said_out_of_its_text() -> None:
    """However it is printed."""
    found = LLMError("ours", llm="m", said="theirs")

    assert isinstance(found, MollmError)
    assert "theirs" not in f"{found} {found!r} {found.args}"
