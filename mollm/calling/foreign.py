"""What the exceptions of every library become, by name, so that none of them is imported."""

from __future__ import annotations

from mollm.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    LLMError,
    ProviderFailed,
    RateLimited,
    Refused,
    TimedOut,
    Unreachable,
)


def mapped(cls: type[BaseException]) -> type[LLMError] | None:
    """Look up what an exception class becomes where its status says nothing else; None: unknown."""
    own = name_of(cls)
    if own in _ROOTS:
        return _ROOTS[own]
    return next((_CLASSES[name] for name in map(name_of, cls.__mro__) if name in _CLASSES), None)


def name_of(cls: type[BaseException]) -> str:
    """Library and class, as the tables here name them."""
    return f"{cls.__module__.partition('.')[0]}.{cls.__name__}"


def _spread(cls: type[LLMError], roots: str, names: str) -> dict[str, type[LLMError]]:
    return {f"{root}.{name}": cls for root in roots.split() for name in names.split()}


_HTTPX = "httpx httpx2 httpcore httpcore2"  # they share their names

_CLASSES: dict[str, type[LLMError]] = {
    **_spread(TimedOut, "builtins", "TimeoutError"),
    **_spread(Unreachable, "builtins", "OSError EOFError"),
    **_spread(ProviderFailed, "builtins json", "UnicodeDecodeError JSONDecodeError"),
    **_spread(TimedOut, "aiohttp", "ServerTimeoutError"),
    **_spread(Unreachable, "aiohttp", "ClientConnectionError ClientPayloadError ClientHttpProxyError"),
    **_spread(Unreachable, "aiohttp", "UploadAbortedError"),
    **_spread(BadRequest, "aiohttp", "InvalidURL NonHttpUrlClientError"),
    **_spread(ProviderFailed, "aiohttp", "ClientResponseError RedirectClientError WSMessageTypeError"),
    **_spread(ProviderFailed, "aiohttp", "InvalidUrlRedirectClientError NonHttpUrlRedirectClientError"),
    **_spread(TimedOut, _HTTPX, "TimeoutException"),
    **_spread(Unreachable, _HTTPX, "NetworkError ProxyError ProtocolError ConnectionNotAvailable"),
    **_spread(BadRequest, _HTTPX, "InvalidURL UnsupportedProtocol LocalProtocolError"),
    **_spread(ProviderFailed, _HTTPX, "DecodingError HTTPStatusError TooManyRedirects StreamError"),
    **_spread(ProviderFailed, _HTTPX, "SSEError CookieConflict"),
    **_spread(AuthFailed, "openai", "AuthenticationError PermissionDeniedError SubjectTokenProviderError"),
    **_spread(RateLimited, "openai", "RateLimitError"),
    **_spread(TimedOut, "openai", "APITimeoutError"),
    **_spread(Unreachable, "openai", "APIConnectionError"),
    **_spread(Refused, "openai", "ContentFilterFinishReasonError"),
    **_spread(BadRequest, "openai", "BadRequestError NotFoundError UnprocessableEntityError LengthFinishReasonError"),
    **_spread(ProviderFailed, "openai", "ConflictError InternalServerError APIResponseValidationError"),
    **_spread(AuthFailed, "litellm", "PaymentRequiredError"),
    **_spread(ContextTooLong, "litellm", "ContextWindowExceededError"),
    **_spread(Refused, "litellm", "ContentPolicyViolationError RejectedRequestError"),
    **_spread(Refused, "litellm", "GuardrailRaisedException BlockedPiiEntityError"),
    **_spread(Refused, "litellm", "ModifyResponseException SensitiveDataRouteException"),
    **_spread(BadRequest, "litellm", "BudgetExceededError ModelNotMappedError UnsupportedParamsError"),
    **_spread(ProviderFailed, "litellm", "BadGatewayError ServiceUnavailableError BaseLLMException"),
    **_spread(AuthFailed, "langchain_core", "ModelAuthenticationError ModelPermissionDeniedError"),
    **_spread(RateLimited, "langchain_core", "ModelRateLimitError"),
    **_spread(TimedOut, "langchain_core", "ModelTimeoutError"),
    **_spread(Unreachable, "langchain_core", "ModelConnectionError"),
    **_spread(ContextTooLong, "langchain_core", "ContextOverflowError"),
    **_spread(ContextTooLong, "langchain_openai", "OpenAIContextOverflowError OpenAIAPIContextOverflowError"),
    **_spread(Refused, "langchain_core", "ModelRefusalError"),
    **_spread(Refused, "langchain_openai", "OpenAIRefusalError"),
    **_spread(BadRequest, "langchain_core", "ModelInvalidRequestError ModelNotFoundError"),
    **_spread(ProviderFailed, "langchain_core", "ModelAPIError OutputParserException"),
}
"""Library and class to ours; a subclass inherits its nearest ancestor's."""

_ROOTS: dict[str, type[LLMError]] = {
    **_spread(ProviderFailed, "aiohttp", "ClientError"),
    **_spread(ProviderFailed, _HTTPX, "HTTPError RequestError TransportError"),
    **_spread(AuthFailed, "openai", "OpenAIError"),  # raised as such only where no key was found
    **_spread(ProviderFailed, "openai", "APIError APIStatusError"),
    **_spread(ProviderFailed, "litellm", "OpenAIError APIError MockException"),
    **_spread(ProviderFailed, "langchain_core", "LangChainException ModelError"),
}
"""The roots of the libraries, not inherited, so that a class that is new below one has to be looked at."""
