"""One LLM behind one interface."""
