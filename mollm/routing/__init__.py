"""Which mixture answers?

| module | |
|---|---|
| `base` | what a router and a scorer are |
| `decision` | what is done about scores |
| `recent` | the threshold that leaves a wanted share of recent questions in doubt |
| `fixed` | router: always the same mixture |
| `learned` | scorer: by examples of each mixture's questions |
| `semantic` | scorer: by the examples that are nearest in meaning |
| `llm` | scorer: by an LLM that reads the descriptions of the mixtures |
| `chain` | router: others in turn, until one is sure |
| `ensemble` | scorer: others together, their log-probabilities added |
| `weighing` | what each of these counts for |
| `own` | a router, scorer or function that a caller gives |
| `deferred` | router: one that could not be built yet |
| `explaining` | a route with what it was made of |
| `likeness` | how like each other texts are, for `explaining` and `pairs` |
| `pairs` | mixtures that no router can separate |
| `registry` | from a section of the configuration to a router |

`features` (a text as numbers), `models` and `vector_model` (what was learned), `fitting` and `fitting_vectors`
(examples as weights), `naming` (examples among which the name of a mixture says nothing), `calibration` (scores as
probabilities), `artifacts` and `versions` (a fitted router as files) belong to `learned`; `vectors` is how the vector
of a question is asked for; `asking` is the call in which an LLM picks among names, for `llm` and for choosers, and
`choice` how its reply is held to them, read and weighed.
"""
