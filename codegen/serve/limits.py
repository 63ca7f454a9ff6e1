"""What the fields of the page may hold."""

LIMITS = {"expression": 4000, "shapes": 1000, "wrt": 500}
"""Characters of each field."""
