"""The console's settings with wake-ups that get lost."""

from console.settings import *  # noqa: F403

CHANNEL_LAYERS = {"default": {"BACKEND": "tests.support.lossy_layer.LossyLayer"}}
