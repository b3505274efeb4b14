"""Kubernetes Secrets whose values live in AWS Secrets Manager."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from charts.kit.objects import Manifest, metadata

DRIVER = "secrets-store.csi.k8s.io"


def synced_secret(
    name: str, namespace: str, *, region: str, keys_by_arn: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """A SecretProviderClass that copies keys of JSON secrets into a Secret of its own name.

    The Secret exists while a pod mounts the class, see :func:`secret_volume`. The driver reads with the AWS role of
    that pod's service account, by EKS Pod Identity.

    :param region: of the secrets in Secrets Manager.
    :param keys_by_arn: keys of the JSON objects, by the ARN of the secret; the Secret has them under the same names.
    """
    wanted = [
        {
            "objectName": arn,
            "objectType": "secretsmanager",
            "objectAlias": f"{name}.{number}",
            "jmesPath": [{"path": key, "objectAlias": f"{name}.{key}"} for key in keys],
        }
        for number, (arn, keys) in enumerate(keys_by_arn.items())
    ]
    data = [{"objectName": f"{name}.{key}", "key": key} for keys in keys_by_arn.values() for key in keys]
    return _provider_class(name, namespace, {"region": region, "objects": json.dumps(wanted)}, data)


def secret_files(
    name: str, namespace: str, secrets: Mapping[str, str], *, kubernetes_secret: Sequence[str] = ()
) -> dict[str, Any]:
    """A SecretProviderClass by which a pod mounts whole secrets as files, with the AWS role of its service account.

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/ascp-eks-installation.html

    :param secrets: ARN by the name of the file.
    :param kubernetes_secret: files that are also keys of a Kubernetes Secret ``name``, for variables. The Secret exists
        while a pod mounts the class.
    """
    files = [{"objectName": arn, "objectAlias": file} for file, arn in secrets.items()]
    data = [{"objectName": file, "key": file} for file in kubernetes_secret]
    return _provider_class(name, namespace, {"objects": json.dumps(files)}, data)


def secret_values(name: str, namespace: str, *, region: str, key: str, secrets: Mapping[str, str]) -> dict[str, Any]:
    """A SecretProviderClass by which a pod mounts one key of several JSON secrets, each as a file.

    :param region: of the secrets in Secrets Manager.
    :param key: of the JSON objects.
    :param secrets: ARN by the name of the file.
    """
    wanted = [
        {
            "objectName": arn,
            "objectType": "secretsmanager",
            "objectAlias": f"{file}.json",
            "jmesPath": [{"path": key, "objectAlias": file}],
        }
        for file, arn in secrets.items()
    ]
    return _provider_class(name, namespace, {"region": region, "objects": json.dumps(wanted)}, [])


def _provider_class(
    name: str, namespace: str, parameters: Mapping[str, str], data: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """:param data: keys of the Kubernetes Secret that the driver writes; it writes none if this is empty."""
    spec: dict[str, Any] = {"provider": "aws", "parameters": {**parameters, "usePodIdentity": "true"}}
    if data:
        spec["secretObjects"] = [{"secretName": name, "type": "Opaque", "data": list(data)}]
    return {
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": metadata(name, namespace),
        "spec": spec,
    }


def secret_volume(name: str) -> Manifest:
    """The volume of a SecretProviderClass. A Secret of the class exists before the containers of the pod start."""
    return {"csi": {"driver": DRIVER, "readOnly": True, "volumeAttributes": {"secretProviderClass": name}}}
