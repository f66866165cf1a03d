"""Final answers: found in replies, brought into one form, counted."""
