"""Deletes the resources that controllers created outside CloudFormation, before their cluster is deleted."""
