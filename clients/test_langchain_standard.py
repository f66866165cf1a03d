"""LangChain's own integration tests for chat models, through `ChatOpenAI` with another base URL.

What is switched off here is listed in README.md, with the reason.
"""
# ruff: noqa: D102 - the properties are the suite's, and documented there

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests, chat_models
from samples import PDF, png, wav

if TYPE_CHECKING:
    from conftest import Served


pytestmark = pytest.mark.filterwarnings("ignore")  # the suite warns of what it does itself


def download(url: str, **_: Any) -> SimpleNamespace:
    """Make what the suite would fetch from the web: nothing outside this machine is asked."""
    made = {"png": png(64, 48), "pdf": PDF, "wav": wav(0.1)}
    return SimpleNamespace(content=made[url.rpartition(".")[2]])


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the suite its sample files without the web."""
    monkeypatch.setattr(chat_models, "httpx", SimpleNamespace(get=download))
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "mollm")


class TestChatOpenAI(ChatModelIntegrationTests):
    """Every test that applies to a chat model."""

    @pytest.fixture(autouse=True)
    def _find(self, served: Served) -> None:
        self._served = served

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "base_url": self._served.base_url,
            "api_key": self._served.key,
            "model": self._served.model,
            "stream_usage": True,  # ChatOpenAI leaves it off for a base URL that is not OpenAI's
            "max_retries": 0,
        }

    @property
    def model_override_value(self) -> str:
        return "deepseek-r"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True
