"""All that this package adds to the emulator."""

from aws_rehearsal.emulator import (
    athena_tasks,
    buckets,
    custom_resources,
    ec2_capacity,
    ec2_permissions,
    eks,
    eks_add_ons,
    eks_nodes,
    exclusive,
    lambda_workers,
    mysql_standin,
    parameters,
    permissions,
    polling,
    refused_updates,
    registry,
    rollbacks,
    sessions,
    stack_outputs,
    task_roles,
    validation,
)
from kubernetes_rehearsal.interface import KubernetesApi
from kubernetes_rehearsal.nodes.node_clusters import NodeClusters


def install(kubernetes: KubernetesApi) -> None:
    """Extend the imported emulator, once.

    :param kubernetes: stands behind its clusters.
    """
    runs_programs = isinstance(kubernetes, NodeClusters)
    registry.install()
    task_roles.install()
    athena_tasks.install()
    buckets.install()
    custom_resources.install()
    ec2_capacity.install()
    eks.install(kubernetes)
    eks_add_ons.programs_run = runs_programs
    eks_nodes.install(kubernetes)
    exclusive.install()
    lambda_workers.install(programs_run=runs_programs)
    mysql_standin.install()
    parameters.install()
    permissions.install()
    ec2_permissions.install()
    polling.install()
    refused_updates.install()
    rollbacks.install()
    sessions.install()
    stack_outputs.install()
    validation.install()
