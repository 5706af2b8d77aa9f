"""Errors that are the user's to mend."""


class InputError(ValueError):
    """Something that the user gave cannot be used; the message says what, where and what to do."""
