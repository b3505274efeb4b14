"""Judges the changes of a deployment before it starts, and stops those that need approval and have none."""
