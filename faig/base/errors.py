"""The exception for mistakes of the user's, so that they are told apart from errors in this code."""


class InputError(ValueError):
    """A mistake of the user's: the message says what was wrong, where, and what to do.

    Commands show the message alone. Any other exception is an error in this code and keeps its traceback.
    """
