"""Proposals compared before the answer is made of them.

| module | does |
|---|---|
| `review` | reviewers rank the proposals of others, until the winner is decided |
| `analysis` | an LLM says where the proposals agree, contradict each other, and fall short |

Both are asked by the node `compare`, side by side. Neither drops a proposal, and neither ever costs the answer.
"""
