"""The one exception that is meant for the user."""


class UserError(Exception):
    """A mistake the user can mend: one line with the offending file or value and the remedy."""

    def _render_traceback_(self):
        """What Jupyter and papermill show: the line itself, no stack."""
        return [f"UserError: {self}"]
