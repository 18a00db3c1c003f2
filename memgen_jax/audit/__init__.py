"""Any samples against any training set: which of them are copies?

    result = audit.run(audit.AuditSettings(train="images/", samples="generated/", out="audit/"))

reads both, finds every sample's nearest training item and nearest other sample, labels it, and writes
`labels.csv`, `summary.json` and `report.html`.
"""

from memgen_jax.audit.comparing import Distances
from memgen_jax.audit.concluding import Result
from memgen_jax.audit.each import run_each
from memgen_jax.audit.parts import run_part
from memgen_jax.audit.program import audit_arrays, run
from memgen_jax.audit.sets import SetsResult, audit_sets
from memgen_jax.audit.settings import AuditSettings

__all__ = [
    "AuditSettings",
    "Distances",
    "Result",
    "SetsResult",
    "audit_arrays",
    "audit_sets",
    "run",
    "run_each",
    "run_part",
]
