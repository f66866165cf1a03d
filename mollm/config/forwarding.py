"""Which fields of a request a server hands on to an LLM, and which no client may set."""

from __future__ import annotations

import re

from mollm.options import COUNTED, RequestOptions

FORBIDDEN = frozenset(
    (
        *("api_base", "base_url", "api_key", "api_keys", "api_token", "authorization", "azure_endpoint"),
        *("extra_headers", "headers", "default_headers", "user_config", "litellm_params", "model_list"),
        *("custom_llm_provider", "proxy", "proxies", "azure_ad_token", "vertex_credentials", "fallbacks"),
        *("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_bedrock_runtime_endpoint"),
    )
)
"""Names of request fields that choose an address, a key or headers where a gateway hands them on."""

FORWARDED = (
    *("top_k", "min_p", "repetition_penalty", "reasoning_effort", "reasoning", "thinking", "enable_thinking"),
    *("thinking_budget", "verbosity", "chat_template_kwargs", "structured_outputs", "guided_json", "guided_regex"),
    *("guided_choice", "guided_grammar", "prompt_cache_key", "safety_identifier"),
)
"""Request fields that a server hands on to the LLM that writes the answer, unless `server.forward` says otherwise."""

_OF_THE_CLIENT = re.compile(
    r"_.*|(aws|azure|vertex|sagemaker|s3|gcs|litellm|mock|auto_router|default|allow|allowed_openai|disable|model|token_exchange)_.*"
    r"|(anthropic|openai|chatgpt|github_copilot|langfuse|langsmith|arize|dd|signoz|wandb|weave|posthog|newrelic)_.*"
    r"|.*(api_|header|litellm|callback|fallback|credential|secret|password|endpoint|proxy|proxies|timeout|retr[yi]"
    r"|max_budget|budget_duration|_cost_|cost_per|_client|client_|router|routing|region).*"
    r"|.*(_token|_ur[il]|_host|_auth|_model|_cost|_key_ref|shared_session)"
    r"|azure|cache|caching|client|organization|deployment_id|base_url|extra_(body|query)|(additional_)?drop_params"
    r"|guardrails|prompt_(id|label|variables|version)|custom_prompt_dict|hf_model_name|roles|ssl_verify|verbose"
    r"|no_log|logger_fn|[rti]?t?p[md]|(a?text_)?a?completion|self|rust|weight|order|use_litellm.*"
)
"""Keyword arguments by which a client library is told where and how to call, not what the provider is to do."""

_COUNTED_ELSEWHERE = frozenset(
    (
        *("max_new_tokens", "max_output_tokens", "max_tokens_to_sample", "max_length", "n_predict", "num_predict"),
        "num_return_sequences",
    )
)
"""Names under which some servers take what limits count: how long a reply may be, and how many there are."""

_HAVE_OPTIONS = frozenset(
    (
        *(RequestOptions.__annotations__.keys() - {"extra_body"}),
        *("mollm", "function_call", "parallel_tool_calls", "presence_penalty", "frequency_penalty", "logit_bias"),
    )
)
"""Request fields that an option sets, or that the server reads by itself."""


def is_settable(name: str) -> bool:
    """Say whether a request field of this name only tells the provider what to do.

    False for what limits count, for what has an option of its own, and for what a client library takes for an
    instruction: an address, a key, headers, retries, a timeout, a reply that is made up.
    """
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("-", "_")
    if plain in COUNTED | _COUNTED_ELSEWHERE or plain in FORBIDDEN or plain in _HAVE_OPTIONS:
        return False
    return not _OF_THE_CLIENT.fullmatch(plain)
