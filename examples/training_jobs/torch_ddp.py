"""Trains on the digits with PyTorch, one process for each GPU, which torchrun starts and connects."""

import os

import torch
from sklearn.datasets import load_digits
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

gpu = torch.cuda.is_available()
torch.distributed.init_process_group("nccl" if gpu else "gloo")
device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else torch.device("cpu")
images, labels = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(images / 16.0, dtype=torch.float32), torch.tensor(labels))
sampler: DistributedSampler = DistributedSampler(data)
network = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)).to(device)
model = DistributedDataParallel(network)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for epoch in range(10):
    sampler.set_epoch(epoch)
    right = seen = 0
    for batch, wanted in DataLoader(data, batch_size=64, sampler=sampler):
        answer = model(batch.to(device))
        loss = torch.nn.functional.cross_entropy(answer, wanted.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        right += int((answer.argmax(1).cpu() == wanted).sum())
        seen += len(wanted)

total = torch.tensor([right, seen], device=device)
torch.distributed.all_reduce(total)
right, seen = total.tolist()
if torch.distributed.get_rank() == 0:
    print(f"accuracy={right / seen:.4f} rows={seen} processes={torch.distributed.get_world_size()}")
torch.distributed.destroy_process_group()
