"""What a person asked of the inventory and cannot have, told so that a form can show it beside the right field.

InventoryError
├── AddressInvalid
├── LocalhostNotAllowed
├── NameInvalid
├── NameTaken
├── TagsInvalid
├── JumpInvalid
├── InUseAsJumpHost
└── InstanceGone
"""


class InventoryError(Exception):
    """The inventory refused this. Read the message beside the field and try again."""

    field: str | None = None

    def __init__(self, message: str = "") -> None:
        super().__init__(message or type(self).__doc__)


class AddressInvalid(InventoryError):
    """This is not an address. Write a name, an IPv4 or IPv6 address, such as deploy@web-1.example.com:2222."""

    field = "address"


class LocalhostNotAllowed(AddressInvalid):
    """This is the console's own machine. An administrator allows it with MUSTER_ALLOW_LOCALHOST=true."""


class NameInvalid(InventoryError):
    """A name has 1 to 80 visible characters."""

    field = "name"


class NameTaken(InventoryError):
    """This name is taken. Choose another one."""

    field = "name"


class TagsInvalid(InventoryError):
    """Write tags as key=value, separated by spaces."""

    field = "tags"


class JumpInvalid(InventoryError):
    """This instance cannot be the jump host."""

    field = "jump"


class InUseAsJumpHost(InventoryError):
    """Other instances are reached through this one. Give those another way first."""


class InstanceGone(InventoryError):
    """This instance was deleted by somebody else in the meantime."""
