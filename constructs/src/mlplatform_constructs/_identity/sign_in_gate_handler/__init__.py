"""The function that decides which email addresses may sign in."""
