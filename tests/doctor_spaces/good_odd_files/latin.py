# café
import torch
torch.compile
