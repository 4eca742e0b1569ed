"""What reporting keeps: the mirror, the interval tables, files, audits and links."""

from reporting.models.audits import AuditRun
from reporting.models.erasures import Erasure
from reporting.models.files import Download, Export, ReportMail, ScheduledReport
from reporting.models.quarters import (
    AgentQuarter,
    CostQuarter,
    DispositionQuarter,
    OfferQuarter,
    QueueQuarter,
    StaleQuarter,
)
from reporting.models.records import BackFill, CallRecord, Difference
from reporting.models.walls import WallLink

__all__ = [
    "AgentQuarter",
    "AuditRun",
    "BackFill",
    "CallRecord",
    "CostQuarter",
    "Difference",
    "DispositionQuarter",
    "Download",
    "Erasure",
    "Export",
    "OfferQuarter",
    "QueueQuarter",
    "ReportMail",
    "ScheduledReport",
    "StaleQuarter",
    "WallLink",
]
