"""The accounts that are named, with the stacks that every other stack stands on: keys, network, storage."""

import gc
import sys

gc.disable()  # as app.py does

from aws_cdk import Environment, RemovalPolicy, Stage

from config.loader import load_accounts
from stacks.app import new_app
from stacks.network import NetworkStack
from stacks.security import SecurityStack
from stacks.storage import StorageStack

KEEP = RemovalPolicy.RETAIN

app = new_app()
for name, settings in load_accounts(sys.argv[1:]).items():
    stage = Stage(app, name, env=Environment(account=settings.account, region=settings.region))
    security = SecurityStack(stage, "Security", alarms=settings.alarms, removal_policy=KEEP)
    network = NetworkStack(
        stage,
        "Network",
        settings=settings.network,
        bastion=settings.bastion,
        logs=settings.logs,
        log_key=security.keys.logs,
        removal_policy=KEEP,
    )
    StorageStack(
        stage,
        "Storage",
        vpc=network.network.vpc,
        encryption_key=security.keys.data,
        settings=settings.storage,
        logs=settings.logs,
        removal_policy=KEEP,
    )
app.synth()
