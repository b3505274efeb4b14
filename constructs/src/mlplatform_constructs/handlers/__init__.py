"""Code that runs in AWS Lambda: plain Python and boto3, one folder a function, nothing of the library around it."""
