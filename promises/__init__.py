"""The platform's promises to its users, and the evidence for each."""
