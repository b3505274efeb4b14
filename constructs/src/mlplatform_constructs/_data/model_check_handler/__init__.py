"""The check behind the model bucket."""
