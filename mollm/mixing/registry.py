"""From a section of the configuration to a chooser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mollm.config.problem import nearest
from mollm.errors import ConfigError
from mollm.prompts import load_prompt

if TYPE_CHECKING:
    from mollm.config.config import Config
    from mollm.config.mixtures import ChooseConfig
    from mollm.mixing.base import Chooser

DEFAULT_PROMPT = "prompts/chooser/default.md"


def build_chooser(section: ChooseConfig | None, config: Config, mixture: str) -> Chooser | None:
    """Build what chooses the workers of a mixture of that name; None for no section, where they are listed.

    Raises:
        ConfigError: A trained chooser cannot be read, or does not know an LLM among which it is to choose.
        PromptError: The prompt cannot be used.
    """
    if section is None:
        return None
    return _asked(section, config, mixture) if section.by == "router_llm" else _predicted(section, config, mixture)


def _predicted(section: ChooseConfig, config: Config, mixture: str) -> Chooser:
    from mollm.mixing.predicted import PredictedChooser
    from mollm.mixing.predictor import KIND, Predictor

    key = ("mixtures", mixture, "workers", "choose")
    path = section.path or ""
    found = config.find(f"{path}/{KIND}.json")
    folder = found.parent if found else path
    try:
        predictor = Predictor.load(folder)
    except ConfigError as error:
        raise ConfigError(f"{config.place(*key, 'path')}: {error}") from error
    problems = [
        f"{config.place(*key, 'from', index)}: {folder} was trained without {name!r}{nearest(name, predictor.llms)}"
        for index, name in enumerate(section.candidates)
        if name not in predictor.llms
    ]
    if problems:
        raise ConfigError(problems)
    return PredictedChooser(predictor, tuple(section.candidates), section.most, section.quality_weight)


def _asked(section: ChooseConfig, config: Config, mixture: str) -> Chooser:
    from mollm.mixing.asked import AskedChooser

    where = config.place("mixtures", mixture, "workers", "choose")
    prompt = load_prompt(config, DEFAULT_PROMPT, "chooser", where)
    llms = {name: config.llms[name] for name in section.candidates}
    descriptions = {name: llm.description or llm.model for name, llm in llms.items()}
    return AskedChooser(section.llm or config.router_llms[0], descriptions, section.most, prompt)
