"""One reliable call to an LLM."""
