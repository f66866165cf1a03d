"""Tests that install packages. `uv run pytest` leaves them out, as no file is called `test_*`; `.ci/run` names them."""
