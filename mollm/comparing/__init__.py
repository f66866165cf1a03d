"""Proposals compared before the answer is made of them.

| module | does |
|---|---|
| `review` | reviewers rank the proposals of others, until the winner is decided |
| `analysis` | an LLM says where the proposals agree, contradict each other, and fall short |
| `judge` | a function of somebody's own scores each of them |

All are asked by the node `compare`, the first two side by side. None drops a proposal, and none ever costs the answer.
"""
