from dataclasses import dataclass

from config.people import ClusterAccess
from mlplatform_constructs import PersonRole


@dataclass(frozen=True)
class ClusterPerson:
    """Somebody whom clusters let in, by the name that the person has everywhere.

    Without ``access`` the person is known to a cluster, and may do there what is bound to the name: Kubeflow binds the
    owners and members of its profiles.
    """

    name: str
    role: PersonRole
    access: ClusterAccess | None
