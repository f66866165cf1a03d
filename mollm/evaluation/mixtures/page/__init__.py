"""A report as one page of HTML without scripts.

| module | |
|---|---|
| `document` | the sections, from top to bottom |
| `scatter`, `points`, `costs` | score against cost |
| `charts` | differences with their intervals, bars |
| `correctness` | scores by agreement and confidence, what the aggregator turned |
| `tables` | arms, kinds of questions, the router's confusion, what is excluded |
| `lost` | the questions that a mixture lost, as far as there is room for them |
| `axes`, `labels`, `columns`, `boxes`, `drawing` | what charts are made of |
| `markup`, `words`, `partial`, `style` | elements, figures as words, what scores are called, colors |
"""

from mollm.evaluation.mixtures.page.document import page_of

__all__ = ["page_of"]
