"""Trains on the digits with PyTorch, one process for each slot of the workers: MPI averages their gradients.

Horovod does the same with less code, but does not compile with PyTorch since 2.1. This program is for nodes without
GPUs.
"""

import torch
from mpi4py import MPI
from sklearn.datasets import load_digits

group = MPI.COMM_WORLD
torch.manual_seed(7)  # all begin with the same weights
images, labels = load_digits(return_X_y=True)
mine = slice(group.rank, None, group.size)
inputs = torch.tensor(images[mine] / 16.0, dtype=torch.float32)
wanted = torch.tensor(labels[mine])
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for _ in range(100):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(inputs), wanted)
    loss.backward()
    for parameter in model.parameters():
        group.Allreduce(MPI.IN_PLACE, parameter.grad.numpy(), op=MPI.SUM)
        parameter.grad /= group.size
    optimizer.step()

right = group.allreduce(int((model(inputs).argmax(1) == wanted).sum()))
rows = group.allreduce(len(wanted))
hosts = set(group.allgather(MPI.Get_processor_name()))
models = set(group.allgather(float(sum(parameter.double().sum() for parameter in model.parameters()))))
if group.rank == 0:
    print(f"accuracy={right / rows:.4f} rows={rows} hosts={len(hosts)} models={len(models)}")
