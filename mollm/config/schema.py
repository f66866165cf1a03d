"""What a configuration may say: every key with its type, bounds and default, and what follows from them.

`${VAR}` stays as written until an LLM is built, so that a variable matters only where it is used and never
shows up in a printed configuration.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, SecretStr

from mollm.config.places import Places, is_file, named_path
from mollm.errors import ConfigError

MAX_EXAMPLE_BYTES = 4 * 1024 * 1024
MAX_COUNT = 1_000_000_000
"""Of anything; a number that Python itself refuses to print would break the message about it."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _number_or_all(value: Any) -> Any:
    if value == "all" or (type(value) is int and 1 <= value <= MAX_COUNT):
        return value
    raise ValueError("must be a number of at least 1, or 'all'")


OneOrMore: TypeAlias = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
NumberOrAll: TypeAlias = Annotated[
    int | Literal["all"], BeforeValidator(_number_or_all, json_schema_input_type=int | Literal["all"])
]
Count: TypeAlias = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Client: TypeAlias = Literal["openai_compatible", "litellm", "langchain-openai"]
Dialect: TypeAlias = Literal["vllm", "llama_cpp"]
"""A server with request fields of its own, among them those that hold a reply to given words."""
Threshold: TypeAlias = Annotated[
    float | Literal["auto"],
    Field(description="Probability, 0 to 1, below which the fallback answers; `auto`: fitted, or 0.5 for an LLM."),
]
RouterPath: TypeAlias = Annotated[str | None, Field(description="Folder of a trained router.")]
RouterLLM: TypeAlias = Annotated[str | None, Field(description="The LLM that picks, for kind `llm`.")]
RouterPrompt: TypeAlias = Annotated[str | None, Field(description="A prompt file, or the prompt itself, for `llm`.")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Writing(_Section):
    temperature: float | None = Field(None, ge=0, le=2, description="Unset: a worker's LLM's, then the provider's.")
    top_p: float | None = Field(None, gt=0, le=1, description="As `temperature`.")
    stop: OneOrMore | None = Field(None, description="Texts at which the LLM stops.")
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="Sampling seed, where the provider honours one.")
    extra_body: dict[str, Any] = Field({}, description="Further request fields, sent as they are.")


class TimeoutConfig(_Section):
    """Seconds until a call is given up; `first_token` and `idle` apply to streamed calls only."""

    connect: Seconds = Field(5, description="Until the connection stands.")
    total: Seconds = Field(120, description="For the whole call, its retries included.")
    first_token: Seconds = Field(60, description="Until a streamed reply begins.")
    idle: Seconds = Field(30, description="Between two pieces of a streamed reply.")


class PriceConfig(_Section):
    """USD per million tokens."""

    input: float = Field(ge=0, allow_inf_nan=False, description="What is sent.")
    output: float = Field(ge=0, allow_inf_nan=False, description="What is written.")


class PaceConfig(_Section):
    """Simulated time of a recorded answer."""

    latency: float = Field(0, ge=0, allow_inf_nan=False, description="Seconds until the answer begins.")
    tokens_per_second: float | None = Field(None, gt=0, allow_inf_nan=False, description="Unset: all at once.")


class LLMConfig(_Writing):
    """A callable language model: its address and settings."""

    model: str = Field(pattern=r"^[^/\s]+/\S.*$", description="`provider/model`, as LiteLLM names them.")
    client: Client | None = Field(None, description="Overrides the client that `model` would pick.")
    api_base: OneOrMore | None = Field(None, description="One address, or a list to balance over.")
    api_key: SecretStr | None = Field(None, description="`${VAR}`, or a literal (masked everywhere).")
    max_tokens: Count = Field(1024, description="Always sent.")
    context_window: Count | None = Field(None, description="Tokens; unset: asked from the server, or 8192.")
    timeout: TimeoutConfig = Field(TimeoutConfig(), description="Seconds until a call is given up.")
    retries: int = Field(2, ge=0, le=10, description="Tries after the first, where another try makes sense.")
    max_in_flight: Count | None = Field(None, description="Calls at once to this LLM; unset: no bound.")
    price: PriceConfig | None = Field(
        None, description="USD per million tokens; unset: LiteLLM's map, where it knows the model."
    )
    pace: Literal["recorded"] | PaceConfig | None = Field(
        None, description="What a `replay/...` answer takes: nothing, the recorded or a simulated time."
    )

    @property
    def provider(self) -> str:
        """The first segment of `model`."""
        return self.model.split("/", 1)[0]

    @property
    def model_name(self) -> str:
        """`model` without its provider."""
        return self.model.split("/", 1)[1]

    @property
    def kind(self) -> Literal["local", "replay", "scripted", "openai_compatible", "litellm", "langchain-openai"]:
        """Which client calls it."""
        if self.client is not None:
            return self.client
        if self.provider == "local":
            return "local"
        if self.provider == "replay":
            return "replay"
        if self.provider == "scripted":
            return "scripted"
        if self.provider == "hosted_vllm" or (self.provider == "openai" and self.api_base):
            return "openai_compatible"
        return "litellm"

    @property
    def dialect(self) -> Dialect | None:
        """Which server answers, where that is known and it is called without a library in between."""
        if self.kind == "local":
            return "llama_cpp"
        return "vllm" if self.provider == "hosted_vllm" and self.kind == "openai_compatible" else None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The strings in which `${VAR}` may stand."""
        key = (self.api_key.get_secret_value(),) if self.api_key else ()
        return (*key, *(self.api_base or ()))


class MemberConfig(_Section):
    """One router of a chain."""

    kind: Literal["learned", "llm"] = Field(description="What it decides by; a chain has no chain in it.")
    threshold: Threshold = "auto"
    path: RouterPath = None
    llm: RouterLLM = None
    prompt: RouterPrompt = None


class RouterConfig(_Section):
    """How a mixture is picked."""

    kind: Literal["fixed", "learned", "llm", "chain"] | None = Field(
        None, description="Unset: `learned` if any mixture has examples, else `fixed`."
    )
    fallback: str | None = Field(None, description="Unset: the mixture named `general`, or the only one.")
    threshold: Threshold = "auto"
    path: RouterPath = None
    llm: RouterLLM = None
    prompt: RouterPrompt = None
    members: list[MemberConfig] = Field([], description="The routers of a `chain`, in the order they are asked.")


class RouterSection(NamedTuple):
    """One router that decides: the one under `router`, or a member of its chain."""

    key: tuple[str | int, ...]
    """Where it stands."""
    kind: Literal["fixed", "learned", "llm"]
    config: RouterConfig | MemberConfig


def _worker(value: Any) -> Any:
    return {"llm": value} if isinstance(value, str) else value


class WorkerConfig(_Writing):
    """One LLM with its prompt and settings inside a mixture."""

    llm: str = Field(description="Name of the LLM; a worker that is a name alone is that.")
    prompt: str | None = Field(None, description="A prompt file, or (if it holds white space) the prompt itself.")
    system: str | None = Field(None, description="Replaces the caller's system message.")
    samples: int = Field(1, ge=1, le=64, description="How often it is asked, each time as a proposal of its own.")
    max_tokens: Count | None = Field(None, description="Unset: the LLM's.")


class AggregatorConfig(_Section):
    """How proposals become the answer."""

    method: Literal["synthesize", "vote", "best"] = Field(
        "synthesize", description="Write the answer, take the one most agree on, or let the LLM pick one."
    )
    llm: str | None = Field(None, description="Unset: the first worker's; `vote` then never calls one.")
    prompt: str | None = Field(None, description="A prompt file, or (if it holds white space) the prompt itself.")
    fallback_llm: str | None = Field(
        None, description="Called where `llm` fails; unset: the best proposal answers then."
    )
    max_tokens: Count | None = Field(None, description="Unset: the LLM's.")
    temperature: float | None = Field(None, ge=0, le=2, description="Unset: the LLM's.")


Worker: TypeAlias = Annotated[WorkerConfig, BeforeValidator(_worker, json_schema_input_type=str | WorkerConfig)]


class MixtureConfig(_Section):
    """A named set of workers and an aggregator."""

    description: str = Field(min_length=1, description="What it is for; prompts and routers read it.")
    examples: list[str] | str = Field([], description="Questions that belong here: a list, or a file, one a line.")
    workers: list[Worker] = Field(min_length=1, description="Listed best first.")
    aggregator: AggregatorConfig = Field(AggregatorConfig(), description="How proposals become the answer.")
    ask_first: NumberOrAll = Field("all", description="How many calls start at once.")
    agree: Count | None = Field(None, ge=2, description="Stop when so many have the same final answer; unset: never.")
    widen: NumberOrAll = Field(1, description="How many more start when all have settled without agreement.")
    widen_after: Seconds | None = Field(None, description="Seconds after which the next start without waiting.")
    enough: Count | None = Field(None, description="Unset: all that were planned.")
    quorum: Count = Field(1, description="Fewer proposals at the end of a layer are an error.")
    deadline: Seconds = Field(120, description="Seconds for a layer; nobody is waited for longer.")
    layers: int = Field(1, ge=1, le=3, description="Rounds; a later one reads the proposals of the one before.")
    shuffle: bool = Field(True, description="Shuffle the proposals that the aggregator reads.")
    tools: str = Field("aggregator", description="Who answers a request with tools, alone: the aggregator or an LLM.")

    @property
    def planned(self) -> int:
        """Proposals in one layer when all of them are asked."""
        return sum(worker.samples for worker in self.workers)

    @property
    def is_bypass(self) -> bool:
        """Exactly one planned proposal in one layer: nothing to aggregate."""
        return self.planned == 1 and self.layers == 1

    @property
    def aggregator_llm(self) -> str | None:
        """The LLM that aggregates, if any can be called."""
        if self.is_bypass:
            return None
        if self.aggregator.llm is None and self.aggregator.method != "vote":
            return self.workers[0].llm
        return self.aggregator.llm

    @property
    def tools_llm(self) -> str:
        """The LLM that answers a request with tools."""
        if self.tools != "aggregator":
            return self.tools
        return self.aggregator_llm or self.workers[0].llm

    @property
    def llms(self) -> tuple[str, ...]:
        """Every LLM it may call, each once."""
        names = [worker.llm for worker in self.workers]
        names += [name for name in (self.aggregator_llm, self.aggregator.fallback_llm) if name]
        return tuple(dict.fromkeys([*names, self.tools_llm]))


class LimitsConfig(_Section):
    """Ceilings per request; `calls`, `output_tokens` and `cost_usd` are checked before the first call."""

    calls: Count = Field(16, description="Calls at worst; retries are not counted.")
    output_tokens: Count | None = Field(None, description="Tokens that all calls together may write.")
    cost_usd: float | None = Field(None, gt=0, allow_inf_nan=False, description="USD; every LLM in use needs a price.")
    seconds: Seconds = Field(300, description="For the whole request.")


def _bytes(value: Any) -> Any:
    if type(value) is int and 1 <= value <= MAX_COUNT:
        return value
    match = re.fullmatch(r"([0-9]{1,6}) ?([KM]i?B)", value) if isinstance(value, str) else None
    if match is None or not int(match[1]):
        raise ValueError("must be a number of bytes, or as in '512 KiB' or '4 MiB'")
    return int(match[1]) << (10 if match[2].startswith("K") else 20)


class ServerConfig(_Section):
    """How `mollm serve` listens; nothing else reads it."""

    host: str = Field("127.0.0.1", min_length=1, description="Beyond loopback only with `api_keys`.")
    port: int = Field(8000, ge=0, le=65535, description="0: any that is free.")
    api_keys: list[SecretStr] = Field(
        [], description="Bearer tokens that are let in, `${VAR}` or literal (masked); of 16 characters beyond loopback."
    )
    max_in_flight: Count = Field(256, description="Requests that are worked on at once.")
    queue: int = Field(256, ge=0, le=MAX_COUNT, description="Requests that wait; one more is refused with 503.")
    keep_alive: Seconds = Field(10, description="Seconds until a stream that has nothing to show sends an empty chunk.")
    drain: float = Field(30, ge=0, allow_inf_nan=False, description="Seconds that running requests have after SIGTERM.")
    max_body: Annotated[int, BeforeValidator(_bytes, json_schema_input_type=int | str)] = Field(
        4 * 1024 * 1024, description="Bytes of a request, or as in `4 MiB`; a larger one is refused unread."
    )


class Config(_Section):
    """A whole configuration."""

    version: Literal[1] = Field(1, description="Of this format.")
    llms: dict[str, LLMConfig] = Field(min_length=1, description="The LLMs there are, by name.")
    router: RouterConfig = Field(RouterConfig(), description="How a mixture is picked.")
    mixtures: dict[str, MixtureConfig] = Field(min_length=1, description="The mixtures there are, by name.")
    limits: LimitsConfig = Field(LimitsConfig(), description="The most that one request may take.")
    server: ServerConfig = Field(ServerConfig(), description="How `mollm serve` listens.")

    _places: Places = PrivateAttr(default_factory=Places)

    def located(self, places: Places) -> Self:
        """Remember where its keys stand; returns itself."""
        self._places = places
        return self

    @property
    def path(self) -> Path | None:
        """The file it was read from."""
        return self._places.path

    def place(self, *key: str | int) -> str:
        """Name a key for a message: file and line where known, else its path."""
        return self._places.name(*key)

    @property
    def fallback(self) -> str:
        """The mixture that answers when the router does not know."""
        if self.router.fallback is not None:
            return self.router.fallback
        return "general" if "general" in self.mixtures else next(iter(self.mixtures))

    @property
    def router_kind(self) -> Literal["fixed", "learned", "llm", "chain"]:
        """The kind of router in force."""
        has_examples = any(mixture.examples for mixture in self.mixtures.values())
        return self.router.kind or ("learned" if has_examples or self.router.path else "fixed")

    @property
    def router_sections(self) -> tuple[RouterSection, ...]:
        """The routers that decide, in the order in which they are asked."""
        kind = self.router_kind
        if kind != "chain":
            return (RouterSection(("router",), kind, self.router),)
        members = enumerate(self.router.members)
        return tuple(RouterSection(("router", "members", index), member.kind, member) for index, member in members)

    @property
    def router_llms(self) -> tuple[str, ...]:
        """LLMs that the router may call, each once."""
        asked = [section.config.llm for section in self.router_sections if section.kind == "llm"]
        return tuple(dict.fromkeys(name for name in asked if name))

    @property
    def used_llms(self) -> tuple[str, ...]:
        """LLMs that some mixture or the router may call, in the file's order."""
        used = {name for mixture in self.mixtures.values() for name in mixture.llms} | {*self.router_llms}
        return tuple(name for name in self.llms if name in used)

    def find(self, name: str) -> Path | None:
        """Find a file a configuration names.

        Looked up as it stands if absolute, else beside the YAML file, in the working directory, and among
        the packaged `mixtures/` and `prompts/`, in this order.
        """
        path = named_path(name)
        if path.is_absolute():
            return path if is_file(path) else None
        beside = [self.path.parent] if self.path else []
        folders = [*beside, Path.cwd(), packaged_folder(), packaged_folder() / "mixtures"]
        return next((folder / path for folder in folders if is_file(folder / path)), None)

    def examples(self) -> dict[str, list[str]]:
        """Read the examples of every mixture that has some; blank lines and `#` lines do not count."""
        return {
            name: found
            for name, mixture in self.mixtures.items()
            if (found := self._examples_of(name, mixture.examples))
        }

    def _examples_of(self, name: str, examples: list[str] | str) -> list[str]:
        if isinstance(examples, list):
            return [text for text in examples if text.strip()]
        path = self.find(examples)
        if path is None:
            raise ConfigError(f"{self.place('mixtures', name, 'examples')}: no file {examples!r}")
        if path.stat().st_size > MAX_EXAMPLE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_EXAMPLE_BYTES // 1024 // 1024} MiB")
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            what = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
            raise ConfigError(f"{path}: {what}") from error
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def packaged_folder() -> Path:
    """The folder that holds the packaged `mixtures/` and `prompts/`, in a wheel and in a checkout alike."""
    here = Path(__file__).parent.parent
    return here / "_data" if (here / "_data").is_dir() else here.parent
