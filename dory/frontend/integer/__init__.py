"""Networks of integers held in float tensors, as NEMO and Quantlab export them."""

from dory.frontend.integer.detect import why_not_integer
from dory.frontend.integer.importer import import_integer, survey_integer
from dory.frontend.integer.operators import integer_table

__all__ = ["import_integer", "integer_table", "survey_integer", "why_not_integer"]
