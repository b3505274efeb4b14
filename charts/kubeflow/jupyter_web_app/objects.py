"""The web application for notebooks of Kubeflow Notebooks 1.11. https://github.com/kubeflow/notebooks"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.images import Images
from charts.kit.kubeflow import NAMESPACE, crud_web_app, team_roles
from charts.kit.objects import Manifest, config_map
from charts.kit.rbac import rule

NAME = "jupyter-web-app"
PREFIX = "/jupyter"
JUPYTER = (
    "notebook-scipy",
    "notebook-pytorch",
    "notebook-tensorflow",
    "notebook-pytorch-gpu",
    "notebook-tensorflow-gpu",
)
"""Images with JupyterLab, for CPUs first. The first one is the default."""
VS_CODE, RSTUDIO = "notebook-vs-code", "notebook-rstudio"
HOME = "/home/jovyan"

_CONFIGURATION = "jupyter-web-app-config"
_TEMPLATE = "jupyter-web-app-notebook"
_TEMPLATE_FILE = "notebook_template.yaml"
_USER = 1000  # jovyan, in all images
_CLUSTER_RULES = [
    rule("kubeflow.org", "notebooks", "get list create delete patch update"),
    rule("kubeflow.org", "poddefaults", "get list"),
    rule("", "persistentvolumeclaims", "get list create delete"),
    rule("", "events nodes", "list"),
    rule("", "pods pods/log", "get list"),
    rule("storage.k8s.io", "storageclasses"),
]


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """Nodes with accelerators that a notebook can ask for.

    :param purpose: what the nodes are for, such as ``training``.
    :param resource: by which pods request an accelerator, such as ``nvidia.com/gpu``.
    :param maker: as people know it, such as ``NVIDIA``.
    :param node_labels: labels of the nodes.
    :param tolerations: of the nodes' taints.
    """

    purpose: str
    resource: str
    maker: str
    node_labels: Mapping[str, str]
    tolerations: Sequence[Manifest]


class JupyterWebApp(ComponentChart):
    """The page on which people start notebooks: JupyterLab, VS Code or RStudio, on CPUs or GPUs.

    Notebooks pass the restricted pod security level. One that needs GPUs names the nodes by affinity and by
    toleration, both under the nodes' purpose.

    :param images: the catalog's images, of this application and of notebooks.
    :param accelerators: nodes that the page offers. Default: CPUs only.
    :param storage_gib: size of the disk that a new notebook gets as its home.
    :param defaults: labels of PodDefaults that are chosen unless the user clears them.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        images: Images,
        accelerators: Sequence[Accelerator] = (),
        storage_gib: int,
        defaults: Sequence[str] = (),
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        form = _form(images, accelerators, storage_gib, defaults)
        configuration = json.dumps({"spawnerFormDefaults": form}, indent=2)  # the application reads YAML
        self.add(
            config_map(_CONFIGURATION, NAMESPACE, {"spawner_ui_config.yaml": configuration}),
            config_map(_TEMPLATE, NAMESPACE, {_TEMPLATE_FILE: _NOTEBOOK}),
            *crud_web_app(
                NAME,
                image=images.reference("jupyter-web-app"),
                prefix=PREFIX,
                env={"UI": "default"},
                cluster=_CLUSTER_RULES,
                mounts={
                    "/etc/config": "configuration",
                    f"/src/apps/common/yaml/{_TEMPLATE_FILE}": f"notebook/{_TEMPLATE_FILE}",
                },
                volumes={
                    "configuration": {"configMap": {"name": _CONFIGURATION}},
                    "notebook": {"configMap": {"name": _TEMPLATE}},
                },
                placement=placement,
            ),
            *team_roles(
                "notebook-page",
                view=[rule("kubeflow.org", "poddefaults", "get list"), rule("storage.k8s.io", "storageclasses")],
            ),
        )


def _form(
    images: Images, accelerators: Sequence[Accelerator], storage_gib: int, defaults: Sequence[str]
) -> dict[str, Any]:
    def choice(*names: str) -> dict[str, Any]:
        options = [images.reference(name) for name in names]
        return {"value": options[0], "options": options}

    makers = {each.resource: each.maker for each in accelerators}
    vendors = [{"limitsKey": resource, "uiName": maker} for resource, maker in makers.items()]
    return {
        "allowCustomImage": True,
        "hideRegistry": True,
        "hideTag": False,
        "imagePullPolicy": {"value": "IfNotPresent", "readOnly": False},
        "image": choice(*JUPYTER),
        "imageGroupOne": choice(VS_CODE),
        "imageGroupTwo": choice(RSTUDIO),
        "cpu": {"value": "0.5", "limitFactor": "none", "readOnly": False},
        "memory": {"value": "2.0Gi", "limitFactor": "1.0", "readOnly": False},
        "gpus": {"value": {"num": "none", "vendor": "", "vendors": vendors}, "readOnly": False},
        "workspaceVolume": {"value": _home(storage_gib), "readOnly": False},
        "dataVolumes": {"value": [], "readOnly": False},
        "affinityConfig": {"value": "", "options": [_affinity(each) for each in accelerators], "readOnly": False},
        "tolerationGroup": {"value": "", "options": [_tolerations(each) for each in accelerators], "readOnly": False},
        "shm": {"value": True, "readOnly": False},
        "configurations": {"value": list(defaults), "readOnly": False},
        "environment": {"value": {}, "readOnly": False},
    }


def _home(storage_gib: int) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{storage_gib}Gi"}}}
    return {"mount": HOME, "newPvc": {"metadata": {"name": "{notebook-name}-workspace"}, "spec": spec}}


def _name(accelerator: Accelerator) -> str:
    return f"{accelerator.purpose} ({accelerator.maker})"


def _affinity(accelerator: Accelerator) -> dict[str, Any]:
    labels = [{"key": key, "operator": "In", "values": [value]} for key, value in accelerator.node_labels.items()]
    required = {"nodeSelectorTerms": [{"matchExpressions": labels}]}
    return {
        "configKey": accelerator.purpose,
        "displayName": _name(accelerator),
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
    }


def _tolerations(accelerator: Accelerator) -> dict[str, Any]:
    tolerations = [dict(each) for each in accelerator.tolerations]
    return {"groupKey": accelerator.purpose, "displayName": _name(accelerator), "tolerations": tolerations}


# The application fills in what stands in braces, so that no other brace may be here.
_NOTEBOOK = f"""\
apiVersion: kubeflow.org/v1
kind: Notebook
metadata:
  name: {{name}}
  namespace: {{namespace}}
  labels:
    app: {{name}}
  annotations:
    notebooks.kubeflow.org/server-type: ""
spec:
  template:
    spec:
      serviceAccountName: {{serviceAccount}}
      securityContext:
        runAsNonRoot: true
        runAsUser: {_USER}
        fsGroup: 100
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: {{name}}
          image: ""
          volumeMounts: []
          env: []
          resources:
            requests:
              cpu: "0.5"
              memory: 1Gi
            limits:
              memory: 1Gi
          securityContext:
            allowPrivilegeEscalation: false
            capabilities:
              drop: [ALL]
      volumes: []
      tolerations: []
"""
