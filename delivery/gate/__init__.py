"""Judges what a deployment would change, before it does, and stops what nobody has approved."""
