"""Checks whether an account's quotas suffice for its platform, before anything is created."""
