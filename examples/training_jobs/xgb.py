"""Distributed training with XGBoost: each pod of a job holds a part of the rows, and all grow the same trees."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from xgboost import collective
from xgboost.tracker import RabitTracker

SECONDS = 300
"""Time in which all pods must have started."""


@contextmanager
def tracker(port: int, world: int) -> Iterator[None]:
    """The meeting point of all pods, in the master."""
    found = RabitTracker(n_workers=world, host_ip="0.0.0.0", port=port, sortby="task", timeout=SECONDS)
    found.start()
    yield
    found.wait_for()


@contextmanager
def joined(address: str, port: int, rank: int) -> Iterator[None]:
    """Membership in the group. The name of the master resolves when its pod runs.

    The master uses this name, too: the others connect to it at the address by which it reached the tracker.
    """
    until = time.monotonic() + SECONDS
    while True:
        try:
            uri = socket.gethostbyname(address)
            break
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(1)
    with collective.CommunicatorContext(
        dmlc_tracker_uri=uri, dmlc_tracker_port=port, dmlc_task_id=f"{rank:04}", dmlc_retry=30
    ):
        yield


def train(rank: int, world: int) -> None:
    """Trains on this pod's rows, and prints what the model of all rows is worth."""
    features, labels = load_breast_cancer(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(features, labels, random_state=7)
    rows = xgboost.DMatrix(train_x[rank::world], train_y[rank::world])
    model = xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, rows, num_boost_round=40)
    right = (model.predict(xgboost.DMatrix(test_x)) > 0.5) == test_y
    everybody = collective.allreduce(numpy.array([rows.num_row()]), collective.Op.SUM)[0]
    print(f"rank={rank} rows={rows.num_row()} of={everybody} accuracy={right.mean():.4f}", flush=True)


def main() -> None:
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if rank:
        with joined(address, port, rank):
            train(rank, world)
        return
    with tracker(port, world), joined(address, port, rank):
        train(rank, world)


if __name__ == "__main__":
    main()
