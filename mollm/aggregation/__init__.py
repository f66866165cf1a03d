"""Proposals to answer.

| module | the answer is |
|---|---|
| `synthesize` | written by an LLM from the proposals |
| `vote` | the proposal that most agree on |
| `best` | the proposal that an LLM picks |
| `highest` | the proposal that a function of somebody's own scores highest |
| `acting` | written, or a tool called, by the LLM that has the caller's tools |

`base` has the interface. `aggregate` uses one where it is needed, and keeps the caller's format: `terms` says what that
asks, `rewriting` has an LLM write an answer anew. `guarding` sees to it that the facts on which most proposals agree
stand in what an LLM wrote. `writing` calls the LLMs that write, `showing` lays out the proposals for them.
"""
