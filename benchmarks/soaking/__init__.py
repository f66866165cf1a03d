"""The parts of `benchmarks/soak.py`: an upstream and clients that misbehave by plan, and their books."""
