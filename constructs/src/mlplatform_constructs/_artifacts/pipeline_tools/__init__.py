"""What the steps of a pipeline for images and jars run in CodeBuild: Python, git and the AWS CLI, nothing else."""
