"""The command as tests call it, and the configuration they ask."""

from __future__ import annotations

import sys

MOLLM = [sys.executable, "-W", "error", "-m", "mollm"]

TEAM = """
llms:
  a: {model: scripted/from a}
  b: {model: scripted/from b}
  boss: {model: "scripted/the whole answer"}
mixtures:
  team: {description: Two and a boss., workers: [a, b], aggregator: {llm: boss}}
  solo: {description: One alone., workers: [a]}
router: {kind: fixed, fallback: team}
"""
