"""What a configuration may say, read and checked."""
