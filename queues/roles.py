"""The two groups and what each may do in the admin."""

from django.contrib.auth.models import Group, Permission

from callcenter.permissions import AGENTS, SUPERVISORS

# Model names; supervisors change set-up, and look at evidence.
MANAGED = [
    "queue", "number", "member", "menu", "menuoption", "agent", "breakreason", "disposition",
    "alertrule", "walllink", "contact", "scheduledreport",
]  # fmt: skip
SEEN = [
    "queuedcall", "callevent", "offer", "leg", "webhookevent", "alert", "providerfact",
    "callrecord", "auditrun", "presenceperiod", "endpoint", "message", "delivery",
    "supervision", "recording", "recordingaccess", "alertmail", "wrapup", "notice",
    "export", "download", "reportmail",
]  # fmt: skip

OURS = ["agents", "queues", "reporting", "outbox"]


def set_up_roles() -> None:
    """Make the groups `supervisor` and `agent`; run again, it repairs them."""
    Group.objects.get_or_create(name=AGENTS)
    supervisors, _ = Group.objects.get_or_create(name=SUPERVISORS)
    ours = Permission.objects.filter(content_type__app_label__in=OURS)
    managed = ours.filter(content_type__model__in=MANAGED)
    seen = ours.filter(content_type__model__in=SEEN, codename__startswith="view_")
    supervisors.permissions.set(managed | seen)
