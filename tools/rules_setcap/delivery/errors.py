"""The exception of this package."""


class DeliveryError(Exception):
    """An image has not been delivered; the message is a sentence that says why."""
