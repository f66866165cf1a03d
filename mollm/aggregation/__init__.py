"""Proposals to answer."""
