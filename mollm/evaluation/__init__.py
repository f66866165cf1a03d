"""How good something is, on data: `routing` measures routers."""
