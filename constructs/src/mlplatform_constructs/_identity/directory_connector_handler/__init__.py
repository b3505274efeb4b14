"""The function that makes and deletes a connector to a directory."""
