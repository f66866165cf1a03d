"""Proposals to answer.

| module | makes the answer |
|---|---|
| `synthesize` | by an LLM that writes it from the proposals |
| `vote` | of the proposal that most agree on |
| `best` | of the proposal that an LLM names |

`base` is the interface, and what is settled before an aggregator is asked. `writing` asks the LLMs that write,
`showing` lays out what they read.
"""
