"""A local stand-in for Sautikit: the REST API, the webhooks, virtual phones and their time.

The call centre never imports this package and this package never imports the call centre; the
two meet over HTTP only, as they would in production.
"""
