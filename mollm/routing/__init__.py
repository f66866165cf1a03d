"""Which mixture answers?

| module | decides by |
|---|---|
| `fixed` | nothing: always the same mixture |
| `learned` | examples of each mixture's questions |
| `llm` | an LLM that reads the descriptions of the mixtures |
| `chain` | others in turn, until one is sure |

`features` and `fitting` are the two halves of `learned`: a text as numbers, and examples as weights. `choice` is
what `llm` asks for and how it reads the reply. `conversation` says which messages are routed.
"""
