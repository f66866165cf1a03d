"""Privacy: what identifies people or lets somebody in is replaced before an LLM reads it, and put back in the answer.

`finding.py` finds values in a text, `veil.py` gives each its placeholder and puts it back, `conversations.py` knows
where the texts of a conversation stand, `pieces.py` does it while a reply comes in, `revealing.py` for whoever asked.
`privacy.py` says which of it holds for a configuration, and which LLMs are private.
"""
