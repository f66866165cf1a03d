"""Whether a mixture is worth it: asked on questions with references, beside all that it has to be better than."""
