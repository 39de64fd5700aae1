"""Takes a `torch.nn.Module` to a signed `.edx` bundle. Runs on the workstation; needs torch."""
