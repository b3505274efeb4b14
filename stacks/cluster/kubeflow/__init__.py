"""Kubeflow on a training cluster: several stacks, since a template has room for some 900 kB of manifests."""

from .applications import KubeflowStack
from .pipelines import KubeflowPipelinesStack
from .sign_in import CognitoSignIn, PasswordSignIn, SignIn
from .state import AwsState, ClusterState, State
from .teams import KubeflowTeamsStack, TeamStorage
from .training import KubeflowTrainingStack

__all__ = [
    "AwsState",
    "ClusterState",
    "CognitoSignIn",
    "KubeflowPipelinesStack",
    "KubeflowStack",
    "KubeflowTeamsStack",
    "KubeflowTrainingStack",
    "PasswordSignIn",
    "SignIn",
    "State",
    "TeamStorage",
]
