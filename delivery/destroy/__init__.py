"""Takes an account's platform away, and tells what is left of it."""
