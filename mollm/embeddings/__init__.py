"""Texts as vectors: `base` says what an embedder is."""
