"""Which mixture answers?

| module | decides by |
|---|---|
| `fixed` | nothing: always the same mixture |
| `learned` | examples of each mixture's questions |

`features` and `fitting` are the two halves of `learned`: a text as numbers, and examples as weights.
"""
