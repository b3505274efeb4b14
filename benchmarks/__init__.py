"""What the platform's commands cost, each as a ratio to a floor measured in the same run."""
