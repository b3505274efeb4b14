"""Tells how many nodes the groups of a cluster have."""
