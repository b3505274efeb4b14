"""Training jobs on several nodes, and a search for hyperparameters, on the digits that scikit-learn ships."""
