"""The accounts that are named, with the stacks that every other stack stands on: keys, network, storage."""

import sys

from aws_cdk import Environment, RemovalPolicy, Stage

from config.loader import load_accounts
from stacks.account.network import NetworkStack
from stacks.account.security import SecurityStack
from stacks.account.storage import StorageStack
from stacks.app import platform_app

with platform_app() as app:
    for name, settings in load_accounts(sys.argv[1:]).items():
        stage = Stage(app, name, env=Environment(account=settings.account, region=settings.region))
        security = SecurityStack(
            stage, "Security", alarms=settings.alarms, logs=settings.logs, removal_policy=RemovalPolicy.RETAIN
        )
        protection = security.protection
        network = NetworkStack(
            stage,
            "Network",
            settings=settings.network,
            workloads=settings.workloads,
            bastion=settings.bastion,
            protection=protection,
        )
        StorageStack(stage, "Storage", vpc=network.vpc, settings=settings.storage, protection=protection)
