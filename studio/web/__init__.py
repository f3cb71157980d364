"""The HTTP front: one module per family of routes."""
