"""What clients ask first: where to log in, with which keys tokens are verified, which VOs there are."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import Request, Response

from diracx_api.deps import Router
from diracx_api.models.config import Metadata, OpenIDConfiguration, contacts
from diracx_tasks.auth import rights
from diracx_tasks.auth.keys import key_set
from diracx_tasks.core.config import config
from diracx_tasks.core.errors import NotFound
from diracx_tasks.core.settings import settings

router = Router(".well-known", "/.well-known")
EXPIRES_DAYS = 90
SECURITY: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"schema": {"type": "string"}}, "text/plain": {}}}
}


@router.get("/openid-configuration", right=rights.anyone)
def get_openid_configuration(request: Request, response: Response) -> OpenIDConfiguration:
    """OpenID Connect's discovery document: addresses, grants and scopes."""
    response.headers["Cache-Control"] = "public, max-age=60"
    root = str(request.base_url).rstrip("/")
    return OpenIDConfiguration.of(config(), issuer=settings().issuer, root=root)


@router.get("/jwks.json", right=rights.anyone)
def get_jwks(response: Response) -> dict[str, Any]:
    """The public parts of all keys that tokens are verified with (RFC 7517)."""
    response.headers["Cache-Control"] = "public, max-age=300"
    return {"keys": [key.as_dict(private=False) for key in key_set().keys]}


@router.get("/dirac-metadata", right=rights.anyone)
def get_installation_metadata(response: Response) -> Metadata:
    """The VOs with their groups, what these may do, and whom to ask."""
    response.headers["Cache-Control"] = "public, max-age=5"
    return Metadata.of(config())


@router.get("/security.txt", right=rights.anyone, responses=SECURITY)
def get_security_txt(request: Request) -> Any:
    """Whom to tell of a weakness (RFC 9116), as text; as a JSON string for clients that ask for JSON."""
    addresses = contacts(config(), settings().security_contact)
    if not addresses:
        raise NotFound("nobody is stated: DIRACX_SECURITY_CONTACT, or Support of a VO in the configuration")
    until = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(EXPIRES_DAYS)
    lines = [*(f"Contact: {address}" for address in addresses), f"Expires: {until:%Y-%m-%dT%H:%M:%SZ}"]
    text = "\n".join([*lines, f"Canonical: {settings().url}/.well-known/security.txt", ""])
    headers = {"Cache-Control": "public, max-age=86400", "Vary": "Accept"}
    if _wants_json(request.headers.get("Accept", "")):
        return Response(json.dumps(text), headers=headers, media_type="application/json")
    return Response(text, headers=headers, media_type="text/plain")


def _wants_json(accept: str) -> bool:
    """Whether JSON is named, and wanted more than plain text (RFC 9110, 12.5.1)."""
    wanted: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, *parameters = (one.strip() for one in part.split(";"))
        weights = [one[2:] for one in parameters if one.startswith("q=")]
        try:
            wanted[kind] = float(weights[0]) if weights else 1.0
        except ValueError:
            wanted[kind] = 0.0
    return wanted.get("application/json", 0.0) > wanted.get("text/plain", wanted.get("text/*", 0.0))
