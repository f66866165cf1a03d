"""Every mixture and every member alone, asked on every question: within a ceiling, once, kept in a journal."""
