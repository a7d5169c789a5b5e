"""Texts that only this installation's servers can read and make, for as long as its keys hold."""

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from diracx_tasks.auth.keys import key_set, signing_key


def fernet(purpose: str) -> MultiFernet:
    """What encrypts for a purpose and authenticates; what was made for another cannot be read.

    From the private parts of our keys, the one that signs first: a rotation leaves everything readable until
    the old key has gone. What is to be kept for longer is made anew before (`MultiFernet.rotate`).
    """
    first = signing_key()
    others = [key for key in key_set().keys if key.kid != first.kid]
    secrets = [key.as_dict(private=True).get("d") for key in (first, *others) if key.is_private]
    return MultiFernet([Fernet(_derived(str(secret), purpose)) for secret in secrets])


def _derived(secret: str, purpose: str) -> bytes:
    kdf = HKDF(SHA256(), 32, salt=None, info=f"diracx: {purpose}".encode())
    return urlsafe_b64encode(kdf.derive(secret.encode()))
