"""Destroys an account's platform, and lists what remains of it."""
