"""What is learned from data: `data` reads it."""
