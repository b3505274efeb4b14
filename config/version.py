"""The version of the platform, which ``CHANGELOG.md`` describes."""

VERSION = "0.2.0"
