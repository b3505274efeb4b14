from pathlib import Path

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from config.workloads import Airflow
from mlplatform_constructs import AccessLogBucket, AirflowEnvironment, Bastion, EncryptionKeys
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import output_reference

_ROOT = Path(__file__).parents[2]
_COMPONENTS = _ROOT / "distributions" / "pipeline-components" / "src" / "mlplatform_components"


class AirflowStack(Stack):
    """Apache Airflow, whose DAGs start pipelines of Kubeflow as a machine client.

    DAGs can import ``mlplatform_components``. Airflow's options ``kubeflow.address`` and ``kubeflow.secret`` contain
    the address of Kubeflow and the ARN of the secret of the machine client.

    - ``airflow``: the environment.

    :param settings: of Airflow.
    :param vpc: network with internet access, because the user pool has no private address.
    :param bastion: hosts that reach the web server.
    :param access_logs: bucket of server access logs.
    :param kubeflow_url: address of Kubeflow.
    :param machine: secret of the machine client.
    :param protection: retention of logs, removal policy of data, and the key that encrypts the secret.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Airflow,
        vpc: ec2.IVpc,
        bastion: Bastion,
        access_logs: AccessLogBucket,
        kubeflow_url: str,
        machine: secretsmanager.ISecret,
        protection: DataProtection,
    ) -> None:
        super().__init__(scope, id)
        self.add_stack_dependency(Stack.of(machine))
        arn = output_reference(machine, "Arn", machine.secret_arn)
        self.airflow = AirflowEnvironment(
            self,
            "Airflow",
            vpc=vpc,
            dags=str(_ROOT / settings.dags),
            packages=[str(_COMPONENTS)],
            version=settings.version,
            environment_class=settings.environment_class,
            min_workers=settings.min_workers,
            max_workers=settings.max_workers,
            options={"kubeflow.address": kubeflow_url, "kubeflow.secret": arn},
            access_logs=access_logs,
            log_retention=protection.log_retention,
            removal_policy=protection.removal_policy,
        )
        self.airflow.connections.allow_from(bastion, ec2.Port.tcp(443), "web server for tunnels through the bastion")
        secret = secretsmanager.Secret.from_secret_complete_arn(self, "Machine", arn)
        EncryptionKeys.grant_read_secrets(self.airflow.execution_role, protection.keys.metadata, [secret])
        CfnOutput(self, "AirflowName", value=self.airflow.environment.ref)
        CfnOutput(self, "AirflowUrl", value=f"https://{self.airflow.environment.attr_webserver_url}")
        CfnOutput(self, "AirflowBucket", value=self.airflow.bucket.bucket.bucket_name)
