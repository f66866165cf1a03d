"""mollm: mixtures of LLMs, routed, asked together, answered once."""
