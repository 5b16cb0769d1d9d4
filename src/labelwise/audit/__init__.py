"""Audit: what is wrong with the labels and the rows of a data set, how sure that is, and what to do next."""

from __future__ import annotations

from labelwise.audit.audit import audit
from labelwise.audit.finding import AuditReport, Finding, Gain

__all__ = ["AuditReport", "Finding", "Gain", "audit"]
