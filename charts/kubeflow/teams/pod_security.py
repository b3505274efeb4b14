"""The restricted pod security level for teams, with an exception that Kubernetes' own levels cannot express."""

import json
from typing import Any

from charts.kit.admission import admission_policy, admission_rule
from charts.kit.kubeflow import TEAM_LABEL

_LABEL, _VALUE = next(iter(TEAM_LABEL.items()))
_VOLUMES = ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret")
_POD = "object.spec.?securityContext"


def team_pods(tensorboard_image: str) -> list[dict[str, Any]]:
    """An admission policy: pods of teams, except TensorBoards, follow the restricted pod security level.

    The controller of TensorBoards writes no security context, and nothing can be added to its pods. They are recognized
    by image and command, neither of which a person chooses. They follow the baseline level, which their namespace
    enforces.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    """
    command = json.dumps(["/usr/local/bin/tensorboard"])
    of_tensorboard = (
        f"c.name == 'istio-proxy' || c.image == '{tensorboard_image}' && c.?command.orValue([]) == {command}"
    )
    allowed = " || ".join(f"has(v.{kind})" for kind in _VOLUMES)
    variables = {
        "exempt": (
            f"namespaceObject.metadata.?labels['{_LABEL}'].orValue('') != '{_VALUE}' || "
            f"!has(object.spec.initContainers) && object.spec.containers.all(c, {of_tensorboard})"
        ),
        "containers": "object.spec.containers + object.spec.?initContainers.orValue([])",
    }
    own = "c.?securityContext"
    rules = {
        "every container needs securityContext.allowPrivilegeEscalation: false": (
            f"!{own}.?allowPrivilegeEscalation.orValue(true)"
        ),
        "every container needs securityContext.capabilities.drop: [ALL], and may add NET_BIND_SERVICE alone": (
            f"{own}.?capabilities.?drop.orValue([]).exists(d, d == 'ALL') && "
            f"{own}.?capabilities.?add.orValue([]).all(a, a == 'NET_BIND_SERVICE')"
        ),
        "pods need securityContext.runAsNonRoot: true, of the pod or of each container": (
            f"{own}.?runAsNonRoot.orValue({_POD}.?runAsNonRoot.orValue(false)) && "
            f"{own}.?runAsUser.orValue({_POD}.?runAsUser.orValue(1)) != 0"
        ),
        "pods need securityContext.seccompProfile.type: RuntimeDefault, of the pod or of each container": (
            f"{own}.?seccompProfile.?type.orValue({_POD}.?seccompProfile.?type.orValue('')) "
            "in ['RuntimeDefault', 'Localhost']"
        ),
    }
    expressions = {
        message: f"variables.exempt || variables.containers.all(c, {rule})" for message, rule in rules.items()
    }
    expressions["pods may mount claims, secrets, configuration and scratch space; remove other volumes"] = (
        f"variables.exempt || object.spec.?volumes.orValue([]).all(v, {allowed})"
    )
    return admission_policy(
        "mlplatform-team-pods",
        rules=[admission_rule("", "v1", "pods", "CREATE UPDATE")],
        variables=variables,
        expressions=expressions,
    )
