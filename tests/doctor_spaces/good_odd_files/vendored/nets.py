import torch


class Net(torch.nn.Module):
    def forward(self, x):
        return x * 2


def fast(net):
    """Nobody here calls this."""
    torch.save(net, "net.pt")
    return torch.compile(net)


if __name__ == "__main__":
    torch.cuda.set_device(0)
    print(fast(Net())(torch.ones(1)))
