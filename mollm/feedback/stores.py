"""The store that a configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.config.files import named_path
from mollm.errors import ConfigError, FeedbackError
from mollm.feedback.base import settled

if TYPE_CHECKING:
    from pathlib import Path

    from mollm.config.config import Config
    from mollm.config.feedback import FeedbackConfig
    from mollm.feedback.base import Store


def store_of(config: Config) -> Store | None:
    """Return the store of a configuration, None where it keeps nothing; no file is opened or made yet."""
    feedback = config.feedback
    if feedback.kind == "none":
        return None
    # Imported on first use: who keeps nothing needs no database.
    from mollm.feedback.sqlite import SqliteStore

    path = named_path(feedback.path)
    if config.path is not None:
        path = config.path.parent / path
    return SqliteStore(path.absolute(), keeps_proposals=feedback.keep == "all", days=feedback.days)


class Stores:
    """The stores of one configuration after another; what does not change goes on."""

    def __init__(self) -> None:
        self._stores: dict[tuple[Path | None, FeedbackConfig], Store | None] = {}

    def of(self, config: Config) -> Store | None:
        """Return the store of a configuration, None where it keeps nothing."""
        known = (config.path, config.feedback)
        if known not in self._stores:
            self._stores[known] = store_of(config)
        return self._stores[known]

    def close(self) -> None:
        """Close all of them; blocks meanwhile. An answer that is kept later opens its own again."""
        for store in self._stores.values():
            if store is not None:
                store.close()


def opened(config: Config) -> Store:
    """Like `store_of`, for who cannot do without.

    Raises:
        ConfigError: The configuration keeps nothing; it says what to add.
    """
    return needed(store_of(config), config)


def needed(store: Store | None, config: Config) -> Store:
    """Return the store of a configuration. Raises as `opened`."""
    if store is None:
        where = config.path or "the configuration"
        raise ConfigError(f"{where}: no answers are kept, so none can be rated; add `feedback: {{kind: sqlite}}`")
    return store


async def usable(store: Store | None, config: Config) -> None:
    """See whether the store of a configuration can be used, if it has one. Raises `ConfigError`."""
    if store is not None:
        try:
            await settled(store.check())
        except FeedbackError as error:
            raise ConfigError(f"{config.place('feedback', 'path')}: {error}") from None
