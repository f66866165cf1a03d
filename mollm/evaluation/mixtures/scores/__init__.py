"""How good an answer is, by its reference: each way to tell is a module."""
