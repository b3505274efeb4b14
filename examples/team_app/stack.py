from aws_cdk import Environment, Stack
from cdk8s import App
from constructs import Construct

from mlplatform_constructs import CredentialPropagation, DataBucket, KubernetesCluster, Manifests, WorkloadIdentity
from mlplatform_constructs.charts import ComponentChart, Resources, WebApp

TEAM = "churn"
_NAME = "churn-explorer"
_LEVEL = {"pod-security.kubernetes.io/enforce": "restricted", "istio-injection": "enabled"}


class TeamAppStack(Stack):
    """A team's own application on the platform: a web page that shows the predictions of a model.

    The team writes what is its own: the image, what a replica needs, the path at the gateway, and the bucket that it
    reads. Everything else is the platform's: identity, pod security, probes, placement, spread, and who may call.

    - ``web``: the application.

    :param cluster: where it runs; its services are deployed before this stack.
    :param image: of the application, with a version.
    :param predictions: bucket that it reads. Default: the team has none yet.
    :param env: account and region. Default: those of the stage.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster: KubernetesCluster,
        image: str,
        predictions: DataBucket | None = None,
        env: Environment | None = None,
    ) -> None:
        super().__init__(scope, id, env=env)
        role = WorkloadIdentity.pod_identity(cluster).role_for(self, "Role", namespace=TEAM, service_account=_NAME)
        credentials = CredentialPropagation(self, "Credentials")
        credentials.add(role)
        if predictions:
            predictions.grant_read(role, prefix=f"{TEAM}/*")
        chart = ComponentChart(App(), "Application")
        chart.add(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM, "labels": _LEVEL}},
            self._gateway(),
        )
        self.web = WebApp(
            chart,
            "Web",
            name=_NAME,
            namespace=TEAM,
            image=image,
            port=8080,
            resources=Resources(cpu="500m", memory="1Gi"),
            path="/churn/",
            gateway=f"{TEAM}/web",
            environment={"PREDICTIONS": predictions.bucket.bucket_name if predictions else ""},
            placement=cluster.placement("general"),
            identity=role,
        )
        self.objects = chart.to_json()
        Manifests(self, "Application", cluster=cluster.cluster, objects=self.objects, after=[credentials])

    @staticmethod
    def _gateway() -> dict[str, object]:
        """The gateway's port 80, to which the load balancer sends after sign-in and after TLS has ended."""
        server = {"port": {"name": "http", "number": 80, "protocol": "HTTP"}, "hosts": ["*"]}
        return {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "web", "namespace": TEAM},
            "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]},
        }
