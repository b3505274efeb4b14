"""Evaluates permissions on the synthesized templates as AWS would."""
