"""What an account looks like: typed settings, one TOML file an account, no AWS and no CDK."""
