"""A hospital: what doctors, nurses and patients see of the same records is decided by rules on the server.

The rules are in `rules.toml`; set them with `hinterland realms rules /hospital --set rules.toml`. Admins give
users the metadata `role` ("doctor" or "nurse") and `wards` (a JSON list such as `["A", "B"]`); everybody else is a patient.
"""

from __future__ import annotations

from datetime import datetime

import hinterland as hl


class Patient(hl.Object):
    number: int = hl.field(primary_key=True)
    name: str = ""
    user: str | None = hl.field(default=None, index=True)
    ward: str = hl.field(default="", index=True)
    diagnosis: str = ""
    remarks: str = ""


class Reading(hl.Object):
    patient: Patient | None = None
    kind: str = ""
    value: float = 0.0
    taken: datetime | None = None
    taken_by: str = ""


SCHEMA = [Patient, Reading]
