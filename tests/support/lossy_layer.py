"""A channel layer that loses half of the wake-ups and repeats a tenth: they may, as they carry nothing."""

import random
from typing import Any

from channels.layers import InMemoryChannelLayer

LOST, REPEATED = 0.5, 0.1


class LossyLayer(InMemoryChannelLayer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._chance = random.Random(20)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        drawn = self._chance.random()
        if drawn < LOST:
            return
        await super().group_send(group, message)
        if drawn > 1 - REPEATED:
            await super().group_send(group, message)
