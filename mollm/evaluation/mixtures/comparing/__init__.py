"""What was answered, held against each other: which arm is better, by how much, and how sure that is."""
