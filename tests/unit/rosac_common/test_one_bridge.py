"""One bridge in one namespace: across processes, freed however its process ends."""

import os
import signal
import subprocess
import sys

import pytest
from rosac_common.one_bridge import claim_namespace, is_claimed
from rosac_common.settings import SettingsError

# Beyond those of ROS, so that no bridge of another test is meant.
DOMAIN = 1000 + os.getpid()


def test_a_namespace_is_claimed_once():
    with claim_namespace(DOMAIN, "/left"):
        assert is_claimed(DOMAIN, "left") and is_claimed(DOMAIN, "/left/")
        with pytest.raises(SettingsError, match=f"'/left' of ROS domain {DOMAIN}: end that first.*namespace:=NAME"):
            claim_namespace(DOMAIN, "left")
        assert is_claimed(DOMAIN, "left"), "the refused one took the claim along"
    assert not is_claimed(DOMAIN, "left")
    claim_namespace(DOMAIN, "left").close()


def test_other_namespaces_and_domains_are_free():
    long = "/a" * 120  # longer than the name of a socket may be
    with claim_namespace(DOMAIN, ""), claim_namespace(DOMAIN, "left"), claim_namespace(DOMAIN + 1, ""):
        assert not is_claimed(DOMAIN, "right") and not is_claimed(DOMAIN + 1, "left")
        with claim_namespace(DOMAIN, long):
            assert is_claimed(DOMAIN, long) and not is_claimed(DOMAIN, long + "/b")


def test_it_may_be_asked_without_end():
    with claim_namespace(DOMAIN, ""):
        assert all(is_claimed(DOMAIN, "") for _ in range(5000))


def test_a_killed_process_and_its_child_keep_no_claim():
    program = (
        "import subprocess, sys; from rosac_common.one_bridge import claim_namespace\n"
        f"claim = claim_namespace({DOMAIN}, '')\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        child = int(process.stdout.readline())
        assert is_claimed(DOMAIN, "")
        process.kill()
        process.wait()
    try:
        assert not is_claimed(DOMAIN, "")
    finally:
        os.kill(child, signal.SIGKILL)
