from collections.abc import Sequence

from aws_cdk import CfnOutput, Environment, RemovalPolicy, Stack
from constructs import Construct

from mlplatform_constructs import PackageRepository

OWN_PACKAGES = (
    "mlplatform-batch-serving",
    "mlplatform-constructs",
    "mlplatform-job-adviser",
    "mlplatform-model-repository",
    "mlplatform-notebook",
    "mlplatform-pipeline-components",
)
"""What ``make wheel`` builds."""
REPOSITORY = "python"


class PackagesStack(Stack):
    """Where other teams install the library from: a package repository in the account of the tools.

    :param env: account and region of the tools; both fixed, so that a pipeline names the repository without waiting
        for this stack.
    :param domain_name: name of the CodeArtifact domain.
    :param reader_accounts: other accounts that may install packages. Default: none.
    :param removal_policy: removal policy of packages and key. Default: RETAIN.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        env: Environment,
        domain_name: str,
        reader_accounts: Sequence[str] = (),
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id, env=env)
        self.repository = PackageRepository(
            self,
            "Packages",
            domain_name=domain_name,
            repository_name=REPOSITORY,
            own_packages=OWN_PACKAGES,
            reader_accounts=reader_accounts,
            removal_policy=removal_policy,
        )
        CfnOutput(self, "IndexUrl", value=self.repository.index_url)
