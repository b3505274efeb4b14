"""Takes away what controllers made outside CloudFormation, before the cluster that knows of it goes."""
