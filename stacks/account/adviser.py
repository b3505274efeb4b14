from collections.abc import Mapping, Sequence

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from config.adviser import Adviser as AdviserSettings
from config.adviser import Bucket
from mlplatform_constructs import AdviserInput, CollectedData, DataBucket, JobAdviser, PlatformUserPool
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import output_reference


class AdviserStack(Stack):
    """Advice on jobs before they start, and the preparation of their input.

    :param buckets: the buckets that ``settings.inputs`` can name.
    :param output: bucket of prepared data.
    :param users: the user pool of the clients.
    :param oauth_scope: the scope of the API, as tokens carry it.
    :param clients: the app clients that have it, by the name of their machine.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: AdviserSettings,
        buckets: Mapping[Bucket, DataBucket | CollectedData],
        output: DataBucket,
        users: PlatformUserPool,
        oauth_scope: str,
        clients: Mapping[str, cognito.CfnUserPoolClient],
        protection: DataProtection,
    ) -> None:
        super().__init__(scope, id)
        self.add_stack_dependency(Stack.of(users))
        inputs = [
            AdviserInput(buckets[name], prefix) for name, prefixes in settings.inputs.items() for prefix in prefixes
        ]
        self.adviser = JobAdviser(
            self,
            "Adviser",
            user_pool_id=output_reference(users, "AdviserPool", users.user_pool.user_pool_id),
            client_ids=self._client_ids(clients),
            oauth_scope=oauth_scope,
            inputs=inputs,
            output=output,
            output_prefix=settings.output_prefix,
            requests_per_second=settings.requests_per_second,
            large_gib=settings.large_gib,
            removal_policy=protection.removal_policy,
            **protection.logs,
        )
        for name, arn in settings.jobs.items():
            self.adviser.add_job(name, sfn.StateMachine.from_state_machine_arn(self, f"Job-{name}", arn))
        CfnOutput(self, "AdviserUrl", value=self.adviser.url)
        CfnOutput(self, "AdviserInputs", value=" ".join(_address(each) for each in inputs))
        CfnOutput(self, "AdviserOutput", value=f"s3://{output.bucket.bucket_name}/{settings.output_prefix}/")

    @staticmethod
    def _client_ids(clients: Mapping[str, cognito.CfnUserPoolClient]) -> Sequence[str]:
        return [output_reference(client, "Id", client.ref) for client in clients.values()]


def _address(data: AdviserInput) -> str:
    bucket = data.bucket
    name = bucket.bucket_name if isinstance(bucket, CollectedData) else bucket.bucket.bucket_name
    return f"s3://{name}/{data.prefix.removesuffix('*')}"
