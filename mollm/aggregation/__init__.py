"""Proposals to answer.

| module | the answer is |
|---|---|
| `synthesize` | written by an LLM from the proposals |
| `vote` | the proposal that most agree on |
| `best` | the proposal that an LLM picks |

`base` has the interface, and the cases that need no aggregator. `writing` calls the LLMs that write, `showing` lays
out the proposals for them.
"""
