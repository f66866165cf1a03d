"""Observers: who receives events, and whether anybody watches."""
