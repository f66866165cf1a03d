"""Proposals compared before the answer is made of them.

| module | does |
|---|---|
| `review` | reviewers rank the proposals of others, until the winner is decided |
| `analysis` | an LLM says where the proposals agree, contradict each other, and fall short |
| `judge` | a function of somebody's own scores each of them |
| `inquiry`, `replies` | what reviewers and analyst are asked, and how their JSON is read |
| `ballots` | how reviews are counted |
| `times` | how long all of this may take |

The node `compare` asks them, the first two side by side. None drops a proposal, and none ever costs the answer.
"""
