"""The settings that a rehearsal uses."""

from functools import partial

from config.kubeflow import Deployment, with_deployment
from config.loader import load_account
from config.schema import Account


def chosen(account: str, kubeflow: Deployment | None = None) -> Account:
    """An account's settings.

    :param kubeflow: option for its Kubeflow. Default: that of the account file.
    """
    if not kubeflow:
        return load_account(account)
    return load_account(account, change=partial(with_deployment, deployment=kubeflow))
