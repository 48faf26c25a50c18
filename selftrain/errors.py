"""The error a user can mend: one line that says where, what, and what to do. Everything else is a bug and shows its trace."""


class UserError(RuntimeError):
    """Printed without a trace by every command; exit status 2."""
