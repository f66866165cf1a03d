"""Final answers inside replies."""
