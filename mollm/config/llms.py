"""What a configuration may say about an LLM."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, PlainSerializer, SecretStr

from mollm.config.addresses import ENDPOINT, BaseURL, is_private_host
from mollm.config.fields import Count, OneOrMore, Sampling, Seconds, Section
from mollm.config.headers import Headers  # noqa: TC001 - pydantic evaluates the annotations
from mollm.config.masking import addresses, shown
from mollm.config.variables import expand, missing_variables

Addresses: TypeAlias = Annotated[OneOrMore | None, AfterValidator(addresses), PlainSerializer(shown)]
Client: TypeAlias = Literal["openai_compatible", "litellm", "langchain-openai"]
Dialect: TypeAlias = Literal["vllm", "llama_cpp"]
"""A server with request fields of its own, among them those that hold a reply to given words."""


class TimeoutConfig(Section):
    """Seconds until a call is given up; `first_token` and `idle` apply to streamed calls only."""

    connect: Seconds = Field(5, description="Until the connection is open.")
    total: Seconds = Field(120, description="For the whole call, its retries included.")
    first_token: Seconds = Field(60, description="Until a streamed reply begins.")
    idle: Seconds = Field(30, description="Between two pieces of a streamed reply.")


class PriceConfig(Section):
    """USD per million tokens."""

    input: float = Field(ge=0, allow_inf_nan=False, description="For the prompt.")
    output: float = Field(ge=0, allow_inf_nan=False, description="For the reply.")


class PaceConfig(Section):
    """Simulated time of a recorded answer."""

    latency: float = Field(0, ge=0, allow_inf_nan=False, description="Seconds until the answer begins.")
    tokens_per_second: float | None = Field(None, gt=0, allow_inf_nan=False, description="Unset: all at once.")


class LLMConfig(Sampling):
    """A callable language model: its address and settings."""

    model: str = Field(pattern=r"^[^/\s]+/\S.*$", description="`provider/model`, as LiteLLM names them.")
    description: str | None = Field(
        None, description="What it is good at; read where an LLM chooses workers. Unset: `model`."
    )
    client: Client | None = Field(None, description="Overrides the client that follows from `model`.")
    api_base: Addresses = Field(None, description="One address, or a list to balance over.")
    api_key: SecretStr | None = Field(None, description="`${VAR}`, or a literal (masked everywhere).")
    headers: Headers = Field({}, description="Further HTTP headers of each call, `${VAR}` or literal (masked).")
    proxy: SecretStr | None = Field(
        None,
        description="`http://[USER:PASSWORD@]HOST:PORT` to call through, `${VAR}` or literal (masked); no other is.",
    )
    max_tokens: Count = Field(1024, description="Always sent.")
    max_tokens_field: Literal["auto", "max_tokens", "max_completion_tokens"] = Field(
        "auto", description="Name of the token limit in a request; `auto`: the one that is not refused."
    )
    stream_usage: Literal["auto"] | bool = Field(
        "auto", description="Send `stream_options` to be told a stream's usage; `auto`: unless that is refused."
    )
    context_window: Count | None = Field(None, description="Tokens; unset: asked from the server, or 8192.")
    timeout: TimeoutConfig = Field(TimeoutConfig(), description="Seconds until a call is given up.")
    retries: int = Field(2, ge=0, le=10, description="Tries after the first, where another try makes sense.")
    max_in_flight: Count | None = Field(
        None, description="Calls to this LLM at the same time; unset: 512 for each address."
    )
    stream: Literal["auto", "always"] = Field(
        "auto", description="`always`: for a server that only streams; what is needed whole is collected."
    )
    think_tags: Literal["move", "leave"] = Field(
        "move", description="Thoughts between tags at the beginning of a reply: out of its text, or left in it."
    )
    price: PriceConfig | None = Field(
        None, description="USD per million tokens; unset: LiteLLM's map, where it knows the model."
    )
    private: bool | None = Field(
        None, description="Reads values that others read masked (`privacy.for: remote`); unset: by its addresses."
    )
    pace: Literal["recorded"] | PaceConfig | None = Field(
        None, description="How long a `replay/...` answer takes: no time, the recorded time, or a simulated one."
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
    def is_remote(self) -> bool:
        """It is called at an address, and does not answer in this process."""
        return self.kind not in ("scripted", "local", "replay")

    @property
    def is_private(self) -> bool:
        """What is sent to it stays here: in this process, on this machine, or in a private network (RFC 1918, 4193)."""
        if self.private is not None or not self.is_remote:
            return self.private is not False
        if self.proxy is not None or not self.api_base or any(map(missing_variables, self.api_base)):
            return False
        try:
            return all(is_private_host(self.base_url(expand(address, "").strip()).host) for address in self.api_base)
        except ValueError:  # what a variable stands for is no address; whoever calls it says so
            return False

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

    def base_url(self, address: str) -> BaseURL:
        """Read one of its addresses, variables filled in.

        Raises:
            ValueError: It is none, or its client cannot call it; says why.
        """
        if self.kind == "litellm" and self.provider != "openai":  # each provider there has its own idea of a base
            base = BaseURL.parse(address, has_endpoint=True)
            loses_query = not self.provider.startswith("azure") and not base.path.endswith(ENDPOINT)
        else:
            base = BaseURL.parse(address)
            loses_query = self.kind == "litellm"
        if base.query and loses_query:
            raise ValueError(
                "has a `?`, behind which the client litellm loses its path; use `client: openai_compatible`"
            )
        return base
