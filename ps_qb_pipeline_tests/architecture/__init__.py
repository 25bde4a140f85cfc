"""The shape of the code: who may import whom, and what an import costs."""
