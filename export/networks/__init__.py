"""Reference networks: small PyTorch modules whose weights lie in `export/zoo`."""
