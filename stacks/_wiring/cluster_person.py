from dataclasses import dataclass

from config.people import ClusterAccess
from mlplatform_constructs import PersonRole


@dataclass(frozen=True)
class ClusterPerson:
    """A person with access to clusters, under the name that identifies the person everywhere.

    Without ``access``, the person has only the permissions that role bindings grant to the name. Kubeflow creates such
    bindings for the owners and members of its profiles.
    """

    name: str
    role: PersonRole
    access: ClusterAccess | None
