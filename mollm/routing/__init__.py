"""Which mixture answers?

| module | |
|---|---|
| `base` | what a router and a scorer are |
| `decision` | what is done about scores |
| `fixed` | router: always the same mixture |
| `learned` | scorer: by examples of each mixture's questions |
| `llm` | scorer: by an LLM that reads the descriptions of the mixtures |
| `chain` | router: others in turn, until one is sure |
| `own` | a router, scorer or function that a caller gives |
| `registry` | from a section of the configuration to a router |

`features` (a text as numbers), `fitting` (examples as weights) and `artifacts` (a fitted router as files) belong to
`learned`; `choice` is what `llm` asks for and how it reads the reply.
"""
