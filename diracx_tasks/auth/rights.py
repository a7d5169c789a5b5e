"""Who may do what: a route states one of these. That no VO sees another's things is in the verbs' queries."""

from collections.abc import Callable
from dataclasses import dataclass

from diracx_tasks.auth.tokens import PILOT, User
from diracx_tasks.core.errors import Forbidden

USER = "NormalUser"
ADMIN = "JobAdministrator"
SERVICE = "ServiceAdministrator"
PROXIES = "ProxyManagement"


@dataclass(frozen=True)
class Right:
    """A named rule on the token; `is_open` rights need no token at all."""

    name: str
    holds: Callable[[User], bool]
    is_open: bool = False


def _any_of(*properties: str) -> Callable[[User], bool]:
    return lambda user: not user.properties.isdisjoint(properties)


anyone = Right("anyone", lambda user: True, is_open=True)
signed_url = Right("the bearer of a signed URL", lambda user: True, is_open=True)
legacy_key = Right("the bearer of the legacy exchange's key", lambda user: True, is_open=True)
pilot_secret = Right("the bearer of a pilot's secret", lambda user: True, is_open=True)
authenticated = Right("anybody with a token", lambda user: True)
submit = Right("a normal user", _any_of(USER))
read = Right("a normal user or administrator of the VO", _any_of(USER, ADMIN))
manage = Right("the owner, or an administrator of the VO", _any_of(USER, ADMIN))
report = Right(
    "the owner, an administrator of the VO, or the pilot that holds the job", _any_of(USER, ADMIN, PILOT)
)
operate = Right("a service administrator", _any_of(SERVICE))
pilot = Right("a pilot", _any_of(PILOT))
not_a_pilot = Right("anybody but a pilot", lambda user: PILOT not in user.properties)
manage_pilot = Right("a service administrator of the VO, or the pilot itself", _any_of(SERVICE, PILOT))
payload = Right("a pilot of the VO, or who may read", _any_of(PILOT, USER, ADMIN))


def must_own(user: User, *, owner: str, vo: str, what: str) -> None:
    """Raise Forbidden unless the thing is the user's, or he administrates its VO."""
    if user.vo != vo or (user.name != owner and ADMIN not in user.properties):
        raise Forbidden(f"{what} belongs to {owner} of {vo}")
