"""Workers picked for a question, of which `workers.py` then makes its proposals.

| module | |
|---|---|
| `base` | what a chooser is |
| `predicted` | chooser: by the quality that is predicted for a question, the price, and how unlike the others each is |
| `asked` | chooser: by an LLM that reads what the LLMs are good at |
| `registry` | from a section of the configuration to a chooser |

`predictor` (a question as the quality of each LLM), `fitting` (recorded scores as weights) and `picking` (qualities and
prices as a set of workers) belong to `predicted`.
"""
