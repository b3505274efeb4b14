"""The charts of Kubeflow's dashboard, notebooks, volumes, TensorBoards, sign-in and teams, for tests."""

import json
from typing import Any

import cdk8s
import yaml

from charts.catalog import Catalog
from charts.kit.chart import ComponentChart
from charts.kit.identity_gate import Machines, People, SigningKeys, TokenIssuer, identity_gate
from charts.kit.kubeflow import AUTH_NAMESPACE, NAMESPACE
from charts.kubeflow.dashboard.objects import Dashboard, menu_item
from charts.kubeflow.dex.objects import Dex
from charts.kubeflow.entry_point.objects import EntryPoint
from charts.kubeflow.jupyter_web_app.objects import Accelerator, JupyterWebApp
from charts.kubeflow.kubeflow_base.objects import KubeflowBase
from charts.kubeflow.notebook_controller.objects import NotebookController
from charts.kubeflow.oauth2_proxy.objects import OAuth2Proxy
from charts.kubeflow.pod_defaults.objects import PodDefaults
from charts.kubeflow.profiles.objects import Profiles
from charts.kubeflow.pvcviewer_controller.objects import PvcViewerController
from charts.kubeflow.teams.objects import NAMESPACE_LABELS, STORAGE, Team, Teams
from charts.kubeflow.tensorboard_controller.objects import TensorboardController
from charts.kubeflow.tensorboards_web_app.objects import TensorboardsWebApp
from charts.kubeflow.volumes_web_app.objects import VolumesWebApp

CATALOG = Catalog.load()
HOST = "kubeflow.ml.example.com"
ISSUER = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example"
PLACEMENT = {"nodeSelector": {"mlplatform/purpose": "system"}, "tolerations": [{"key": "system", "operator": "Exists"}]}
GPUS = Accelerator(
    purpose="training",
    resource="nvidia.com/gpu",
    maker="NVIDIA",
    node_labels={"mlplatform/purpose": "training"},
    tolerations=[{"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"}],
)
TEAMS = [
    Team(
        name="churn",
        owner="ben@example.com",
        contributors=["Chi.Li@example.com"],
        quota={"requests.nvidia.com/gpu": "2"},
        environment={"AWS_REGION": "eu-west-1", "MLPLATFORM_ARTIFACTS": "s3://artifacts/churn/"},
        service_account_annotations={"eks.amazonaws.com/role-arn": "arn:aws:iam::111111111111:role/churn"},
    ),
    Team(name="fraud", owner="dee@example.com", quota={"requests.nvidia.com/gpu": "0"}),
]
SECRET = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:"


def charts() -> dict[str, ComponentChart]:
    """By the name of the component."""
    app, images = cdk8s.App(outdir="/dev/null"), CATALOG.images
    gate = identity_gate(
        "kubeflow",
        hosts=[HOST],
        issuer=TokenIssuer(url=ISSUER, keys=SigningKeys.at(f"{ISSUER}/.well-known/jwks.json")),
        people=People(clients=["client"]),
        machines=[Machines(scope="mlplatform/pipelines", paths=["/pipeline/*"])],
    )

    def one(kind: type[Any], **arguments: Any) -> ComponentChart:
        chart: ComponentChart = kind(app, kind.__name__, **arguments)
        return chart

    placed = {"placement": PLACEMENT}
    return {
        "kubeflow/kubeflow_base": one(KubeflowBase, namespaces=[NAMESPACE, AUTH_NAMESPACE]),
        "kubeflow/entry_point": one(EntryPoint, hosts=[HOST], gate=gate, target_group_arn="arn:aws:elb:group"),
        "kubeflow/profiles": one(
            Profiles,
            controller_image=images.reference("profile-controller"),
            access_image=images.reference("access-management"),
            namespace_labels=NAMESPACE_LABELS,
            **placed,
        ),
        "kubeflow/dashboard": one(
            Dashboard,
            image=images.reference("kubeflow-dashboard"),
            menu=[menu_item("Notebooks", "/jupyter/", "book")],
            quick_links={"Create a notebook": "/jupyter/new"},
            sign_out="/logout",
            **placed,
        ),
        "kubeflow/pod_defaults": one(PodDefaults, image=images.reference("poddefaults-webhook"), **placed),
        "kubeflow/notebook_controller": one(
            NotebookController, image=images.reference("notebook-controller"), idle_minutes=90, **placed
        ),
        "kubeflow/jupyter_web_app": one(
            JupyterWebApp, images=images, accelerators=[GPUS], storage_gib=10, defaults=[STORAGE], **placed
        ),
        "kubeflow/pvcviewer_controller": one(
            PvcViewerController, image=images.reference("pvcviewer-controller"), **placed
        ),
        "kubeflow/volumes_web_app": one(
            VolumesWebApp,
            image=images.reference("volumes-web-app"),
            viewer_image=images.reference("file-browser"),
            **placed,
        ),
        "kubeflow/tensorboard_controller": one(
            TensorboardController,
            image=images.reference("tensorboard-controller"),
            server_image=images.reference("tensorboard"),
            **placed,
        ),
        "kubeflow/tensorboards_web_app": one(
            TensorboardsWebApp, image=images.reference("tensorboards-web-app"), **placed
        ),
        "kubeflow/dex": one(
            Dex,
            image=images.reference("dex"),
            hashing_image=images.reference("htpasswd"),
            people={"ben@example.com": f"{SECRET}ben", "chi@example.com": f"{SECRET}chi"},
            client_secret_arn=f"{SECRET}client",
            **placed,
        ),
        "kubeflow/oauth2_proxy": one(
            OAuth2Proxy,
            image=images.reference("oauth2-proxy"),
            client_secret_arn=f"{SECRET}client",
            cookie_secret_arn=f"{SECRET}cookie",
            secure_cookies=True,
            **placed,
        ),
        "kubeflow/teams": one(
            Teams,
            teams=TEAMS,
            shared_class="shared",
            training_data=True,
            tensorboard_image=images.reference("tensorboard"),
        ),
    }


def of_kind(objects: list[Any], *kinds: str) -> list[Any]:
    return [one for one in objects if one["kind"] in kinds]


def place(found: Any) -> str:
    """``<namespace>/<name>``, or the name alone."""
    about = found["metadata"]
    return f"{about['namespace']}/{about['name']}" if "namespace" in about else str(about["name"])


def notebook_form() -> Any:
    """What the page of notebooks offers."""
    found = of_kind(charts()["kubeflow/jupyter_web_app"].to_json(), "ConfigMap")
    (text,) = [one["data"]["spawner_ui_config.yaml"] for one in found if "spawner_ui_config.yaml" in one["data"]]
    return json.loads(text)["spawnerFormDefaults"]


def notebook() -> dict[str, Any]:
    """A Notebook as the page creates it."""
    found = of_kind(charts()["kubeflow/jupyter_web_app"].to_json(), "ConfigMap")
    (text,) = [one["data"]["notebook_template.yaml"] for one in found if "notebook_template.yaml" in one["data"]]
    made: dict[str, Any] = yaml.safe_load(text.format(name="one", namespace="churn", serviceAccount="default-editor"))
    made["spec"]["template"]["spec"]["containers"][0]["image"] = notebook_form()["image"]["value"]
    return made
