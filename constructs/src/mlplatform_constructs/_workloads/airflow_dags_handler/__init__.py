"""The function that copies DAGs to the bucket of an Airflow environment."""
