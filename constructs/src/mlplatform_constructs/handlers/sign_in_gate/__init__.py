"""The function that decides whose email address gets in."""
