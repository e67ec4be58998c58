"""The exceptions of this package."""


class DeliveryError(Exception):
    """An image has not been delivered; the message is a sentence that says why."""


class TransientError(DeliveryError):
    """An error that may pass, such as a connection that was reset, or a status of 429 or 503.

    Attributes:
      retry_after: the number of seconds that the registry demands; None if it demands nothing.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Creates an error."""
        super().__init__(message)
        self.retry_after = retry_after


class UnansweredError(TransientError):
    """A registry, or a client that asks it, has not answered in time."""


class UnreadableRegistryError(DeliveryError):
    """Our client cannot ask the registry; the user's client may be able to."""


class InterruptedReleaseError(DeliveryError):
    """The release has been interrupted."""
