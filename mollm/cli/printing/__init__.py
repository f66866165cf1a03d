"""What the command prints: results to standard output, everything else to standard error.

| module | |
|---|---|
| `output` | what goes out as it is: answers, messages, JSON, without what could steer a terminal |
| `layout` | rows, columns and amounts |
| `progress` | a question while it is answered |
| `explanation` | an answer: where it came from, who agreed, what it took |
| `listings` | routes, findings, mixtures |
"""
