"""Tests of choosing the workers of a mixture for a question."""
