"""The web service: webhooks in, and nothing but hints out of them."""
