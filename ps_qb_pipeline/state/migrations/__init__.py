"""The versions of the control plane's schema."""
