"""A weekly restart, by which programs read the rotated password of their database."""

from collections.abc import Sequence

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.objects import Manifest, metadata
from charts.kit.rbac import access, rule
from charts.kit.security import run_as
from charts.kit.workloads import container, pod, resources

NAME = "database-login-renewal"
_SCHEDULE = "0 3 * * 0"
_USER = 65532  # the image sets no user


class LoginRenewal(ComponentChart):
    """Restarts Deployments every Sunday at 03:00 UTC, each by a rolling update.

    A program reads the login of its database when it starts. Passwords are rotated every 30 days, and the former one
    remains valid until the next rotation. The Secret contains a new password within minutes, and a program reads it
    within a week, 23 days before the former one expires.

    :param namespace: of the Deployments.
    :param deployments: names of the Deployments whose pods read a login.
    :param image: of kubectl.
    :param placement: node selection and tolerations. Default: any node without taints.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        namespace: str,
        deployments: Sequence[str],
        image: str,
        placement: Manifest | None = None,
    ) -> None:
        super().__init__(scope, id)
        restarting = container(
            "kubectl",
            image,
            args=[
                "rollout",
                "restart",
                f"--namespace={namespace}",
                *(f"deployment/{name}" for name in deployments),
            ],
            resources=resources(cpu="10m", memory="64Mi"),
        )
        spec = pod(
            restarting,
            service_account=NAME,
            security=run_as(_USER),
            placement=placement,
            restartPolicy="OnFailure",
        )
        template = {"metadata": {"labels": {"sidecar.istio.io/inject": "false"}}, "spec": spec}
        self.add(
            *access(NAME, namespace, local=[rule("apps", "deployments", "get patch", names=deployments)]),
            {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "metadata": metadata(NAME, namespace),
                "spec": {
                    "schedule": _SCHEDULE,
                    "timeZone": "Etc/UTC",
                    "concurrencyPolicy": "Forbid",
                    "startingDeadlineSeconds": 24
                    * 3600,  # a restart that a controller missed by less than a day is made up for
                    "successfulJobsHistoryLimit": 1,
                    "failedJobsHistoryLimit": 1,
                    "jobTemplate": {
                        "spec": {"backoffLimit": 5, "activeDeadlineSeconds": 3600, "template": template},
                    },
                },
            },
        )
