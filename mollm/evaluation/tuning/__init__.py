"""Which mixture to use, if any: searched on one half of the questions, confirmed on the other."""
