"""Deploys the platform with the real CDK CLI to an AWS emulator on this machine, and destroys it again."""
