"""Whether an account's quotas leave room for its platform, asked before anything of it is created."""
