"""Mixtures behind one OpenAI-compatible address."""

from mollm.server.app import create_app

__all__ = ["create_app"]
