"""Answers kept with what people think of them, on this machine and nowhere else."""
