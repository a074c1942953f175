"""Numbers on command lines."""

import argparse

import pytest
from rosac_common.arguments import number_above_0, whole_number


def test_numbers_are_taken():
    assert (whole_number(1)("1"), whole_number(0)("0"), number_above_0("0.5")) == (1, 0, 0.5)


@pytest.mark.parametrize("text", ["x", "", "1.5", "0", "-3", "inf"])
def test_what_is_no_whole_number_in_range_is_named_with_its_limit(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{text}: must be a whole number, at least 1$"):
        whole_number(1)(text)


@pytest.mark.parametrize("text", ["x", "", "0", "-3", "inf", "nan"])
def test_what_is_no_number_above_0_is_named_with_its_limit(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{text}: must be a finite number above 0$"):
        number_above_0(text)
