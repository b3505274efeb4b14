"""The function that ends a person's session."""
