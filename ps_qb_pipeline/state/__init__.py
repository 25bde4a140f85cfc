"""The control plane: what must never be lost or done twice. Import the concrete modules."""
