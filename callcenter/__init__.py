"""The project: settings, site map, entry points, and the parts that belong to no single app."""

from callcenter.celery import app as celery_app

__all__ = ["celery_app"]
__version__ = "0.1.0"
