"""edge_dx: runs quantized medical imaging models at the point of care."""
