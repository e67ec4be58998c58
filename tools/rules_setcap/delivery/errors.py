"""The one exception of this package."""


class DeliveryError(Exception):
    """Why an image has not arrived, as a sentence."""
