"""The error of this room that a user can mend."""


class RewardError(RuntimeError):
    """A reward that cannot be given as things are set up; the message says what to change. Exit status 2 on the command line."""
