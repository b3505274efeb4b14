"""Analysis with decision trees on Spark, in the four phases of such jobs."""
