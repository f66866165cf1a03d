"""What the section `privacy` of a configuration comes to."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from mollm.errors import ConfigError
from mollm.privacy.finding import Finder
from mollm.privacy.values import Values
from mollm.privacy.veil import Veil

if TYPE_CHECKING:
    from collections.abc import Collection

    from mollm.config.config import Config
    from mollm.config.privacy import PrivacyConfig

MOST_OPEN = 256
"""Questions on their way through a graph whose values are kept from one node to the next."""


class Privacy:
    """Makes the veils of a configuration."""

    def __init__(self, config: Config, section: PrivacyConfig, given: Collection[str] = ()) -> None:
        """Prepare to find what the section names.

        Args:
            config: The configuration.
            section: Its section `privacy`.
            given: LLMs that were brought: where they send what they get is not known, so they are not private unless
                the configuration says so.

        Raises:
            ConfigError: A library is not installed, or the region is none.
        """
        try:
            self._finder = Finder(section.mask, section.region)
        except ConfigError as error:
            raise ConfigError(f"{config.place('privacy', 'mask')}: {error}") from error
        except ValueError as error:
            raise ConfigError(f"{config.place('privacy', 'region')}: {error}") from None
        self._config, self._given = config, frozenset(given)
        self._reveals = section.masked_for == "remote"
        self._private: dict[str, bool] = {}
        self._open: OrderedDict[str, Veil] = OrderedDict()

    def veil(self) -> Veil:
        """A new veil."""
        return Veil(Values(self._finder), self.is_private)

    def veil_of(self, run: str, *, begins: bool) -> Veil:
        """The veil of a run whose nodes are given their contexts one by one; a new one where it `begins` or came back.

        What the conversation holds gets the same placeholders in a new one; what an LLM was the first to write has
        none there.
        """
        veil = None if begins else self._open.pop(run, None)
        self._open[run] = veil = veil or self.veil()
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)
        return veil

    def forget(self, run: str) -> None:
        """A run has ended."""
        self._open.pop(run, None)

    def is_private(self, llm: str) -> bool:
        """Whether an LLM is sent the values."""
        if llm not in self._private:
            settings = self._config.llms[llm]
            is_known = settings.private is not None or llm not in self._given
            self._private[llm] = self._reveals and is_known and settings.is_private
        return self._private[llm]
