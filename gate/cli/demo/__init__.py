"""`gate demo`: a gate with a registry and a demo origin on this machine."""
