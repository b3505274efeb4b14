import base64
import urllib.parse

import boto3
import pytest

from mlplatform_components import ComponentError, KubernetesApi
from mlplatform_components.kubernetes import eks_token


def test_a_token_of_eks_is_a_signed_address_that_names_the_cluster_in_its_signature() -> None:
    sts = boto3.client("sts", region_name="eu-west-1", aws_access_key_id="AKIA", aws_secret_access_key="secret")
    prefix, _, encoded = eks_token(sts, "inference").partition(".")
    assert prefix == "k8s-aws-v1"
    address = urllib.parse.urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    query = urllib.parse.parse_qs(address.query)
    assert address.hostname == "sts.eu-west-1.amazonaws.com"
    assert query["Action"] == ["GetCallerIdentity"]
    assert query["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"]
    assert query["X-Amz-Expires"] == ["60"]
    assert "EksCluster" not in query


def test_another_cluster_has_another_token() -> None:
    sts = boto3.client("sts", region_name="eu-west-1", aws_access_key_id="AKIA", aws_secret_access_key="secret")
    assert eks_token(sts, "inference") != eks_token(sts, "training")


def test_a_cluster_that_does_not_answer_is_reported_with_its_address() -> None:
    api = KubernetesApi("https://127.0.0.1:1", certificates=None, token=lambda: "token")
    with pytest.raises(ComponentError, match="https://127.0.0.1:1/api.*is the cluster reachable"):
        api.get("Service", "v1", "default", "churn")


def test_refuses_a_kind_that_deployments_do_not_need() -> None:
    api = KubernetesApi("https://127.0.0.1:1", certificates=None, token=lambda: "token")
    with pytest.raises(ComponentError, match="kind must be one of Deployment, Service"):
        api.get("Secret", "v1", "default", "database")
