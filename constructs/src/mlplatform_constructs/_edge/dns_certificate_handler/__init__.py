"""The function that deletes what certificates leave in a hosted zone."""
