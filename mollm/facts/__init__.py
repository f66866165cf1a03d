"""Facts in texts: numbers, dates, names, paths, code identifiers and URLs, and those on which several texts agree.

| module | reads |
|---|---|
| `quantities` | numbers, in the digits of every script; `readings`: what their characters may mean |
| `moments` | dates and times of day |
| `marks` | what is written letter for letter: URLs, paths, code identifiers |
| `names` | names: by their capitals, or by quotation marks where a script has no capitals |

`base` has what a fact is. `agreeing` counts: what texts say is read strictly, and what may stand for it generously.
Everything takes time in proportion to the length of a text.
"""
