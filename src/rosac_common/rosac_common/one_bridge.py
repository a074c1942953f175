"""One bridge in one namespace of one ROS domain: told at once and for sure, which listening to DDS is not.

A bridge has a name in Linux's abstract namespace of sockets (unix(7)), which reaches as far as ROS 2's discovery on one
computer does (one network namespace, all users) and which the kernel frees when the process ends, however it ends.
Bridges on other computers are found by listening only.
"""

from __future__ import annotations

import hashlib
import socket

from rosac_common.settings import SettingsError


def claim_namespace(domain: int, namespace: str) -> socket.socket:
    """Be the only bridge there, until the returned socket is closed or the process ends.

    Raises:
        SettingsError: there is one.
    """
    claim = _socket()
    try:
        claim.bind(_address(domain, namespace))
    except OSError as error:
        claim.close()
        raise SettingsError(
            f"another bridge is up in namespace '/{namespace.strip('/')}' of ROS domain {domain}: end that first, or "
            "choose another namespace with namespace:=NAME"
        ) from error
    return claim


def is_claimed(domain: int, namespace: str) -> bool:
    """Whether a bridge on this computer is there."""
    with _socket() as asking:
        try:
            asking.connect(_address(domain, namespace))
        except ConnectionRefusedError:
            return False
    return True


def _socket() -> socket.socket:
    # Datagrams: a connection that nobody accepts would stay in a queue that fills.
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def _address(domain: int, namespace: str) -> str:
    # A name may have 107 bytes, a namespace more.
    return f"\0rosac_bridge_{domain}_{hashlib.sha256(namespace.strip('/').encode()).hexdigest()}"
