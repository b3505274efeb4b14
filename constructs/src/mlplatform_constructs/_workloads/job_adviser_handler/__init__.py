"""Answers requests for advice, and starts, follows and cancels runs."""
