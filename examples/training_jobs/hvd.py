"""Trains on the digits with Horovod, one process for each GPU, which mpirun starts."""

import horovod.torch as hvd
import torch
from sklearn.datasets import load_digits

hvd.init()
if torch.cuda.is_available():
    torch.cuda.set_device(hvd.local_rank())
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
images, labels = load_digits(return_X_y=True)
mine = slice(hvd.rank(), None, hvd.size())
inputs = torch.tensor(images[mine] / 16.0, dtype=torch.float32, device=device)
wanted = torch.tensor(labels[mine], device=device)
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01 * hvd.size())
optimizer = hvd.DistributedOptimizer(optimizer, named_parameters=model.named_parameters())
hvd.broadcast_parameters(model.state_dict(), root_rank=0)
hvd.broadcast_optimizer_state(optimizer, root_rank=0)

for _ in range(200):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(inputs), wanted)
    loss.backward()
    optimizer.step()

accuracy = hvd.allreduce((model(inputs).argmax(1) == wanted).float().mean())
if hvd.rank() == 0:
    print(f"accuracy={float(accuracy):.4f}")
