"""Describe a mixture in Python: a dictionary of the same shape as the YAML, checked the same way."""

from mollm import MoLLM
from mollm.errors import ConfigError

config = {
    "llms": {
        "first": {"model": "scripted/A heap is a tree in which no child is smaller than its parent."},
        "second": {"model": "scripted/A heap gives you the smallest item at once."},
    },
    "mixtures": {
        "coding": {"description": "Software.", "workers": ["first", "second"], "aggregator": {"llm": "first"}}
    },
}

with MoLLM(config) as mollm:
    print(mollm.ask("What is a heap?").text)

try:
    MoLLM({**config, "limit": {"calls": 4}})
except ConfigError as error:
    print("A mistake is named:", error)
