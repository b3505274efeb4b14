"""All that this package adds to the emulator."""

from rehearsal.emulator import (
    buckets,
    custom_resources,
    eks,
    lambda_workers,
    mysql_standin,
    parameters,
    polling,
    registry,
    rollbacks,
    stack_outputs,
    validation,
)
from rehearsal.kubernetes.interface import KubernetesApi


def install(kubernetes: KubernetesApi) -> None:
    """Extend the imported emulator, once.

    :param kubernetes: stands behind its clusters.
    """
    registry.install()
    buckets.install()
    custom_resources.install()
    eks.install(kubernetes)
    lambda_workers.install()
    mysql_standin.install()
    parameters.install()
    polling.install()
    rollbacks.install()
    stack_outputs.install()
    validation.install()
