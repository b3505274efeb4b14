"""What the library promises to whoever installs it, and which release number a change of that needs."""
