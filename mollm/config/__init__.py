"""What a configuration may say, read and checked.

| module | |
|---|---|
| `load` | a file, a dictionary or a `Config` to a validated `Config` |
| `parsing` | plain data to a `Config`, whatever is wrong with its shape |
| `problems` | what is wrong or doubtful beyond the shape; `..._problems`: of one section |
| `config` | the whole, and what follows from its sections together |
| `llms`, `routers`, `mixtures`, `limits`, `server` | the sections; `fields`: what they have in common |
| `places` | YAML with the line of every key |
| `files` | where files are looked for |
| `variables` | `${VAR}` |
| `masking` | what is not shown |
"""

from mollm.config.config import Config
from mollm.config.load import load_config

__all__ = ["Config", "load_config"]
