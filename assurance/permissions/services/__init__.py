"""The calls of AWS services on behalf of others, with the roles and resources of the templates.

One function for each resource type, with the page that documents the service's requirements. Controllers in
clusters and builds are in ``workloads``, CloudFormation's own role in ``execution_role``.
"""

from assurance.permissions.services import airflow, clusters, data, delivery, functions, records
from assurance.permissions.services.lines import needs, types

TABLES = (airflow, clusters, data, delivery, functions, records)
"""The modules whose functions are the lines of the table."""

__all__ = ["TABLES", "needs", "types"]
