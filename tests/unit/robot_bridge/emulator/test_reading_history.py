"""A reading is found again by what it showed."""

import numpy as np
from robot_bridge.emulator import ReadingHistory

SHOWN = np.array([0.1, 0.2])


def history(*times_s, shown_rad=(0.1, 0.2, 9.0)):
    found = ReadingHistory()
    found.add((at_s, list(shown_rad), [at_s, at_s, at_s]) for at_s in times_s)
    return found


def test_it_is_the_first_from_the_instruction_on_that_showed_these_positions():
    np.testing.assert_array_equal(history(1.0, 2.0, 2.5).goals(1.9, SHOWN), [2.0, 2.0])


def test_the_servos_may_hear_the_instruction_late_and_no_sooner():
    assert history(1.0, 3.0).goals(1.9, SHOWN) is None
    assert history(2.8).goals(1.9, SHOWN) is not None


def test_other_positions_were_not_shown():
    assert history(2.0, shown_rad=(0.1, 0.201, 9.0)).goals(1.9, SHOWN) is None


def test_a_reading_from_later_than_those_after_it_hides_none():
    found = ReadingHistory()
    found.add([(0.1 * number, [0.1 * number], [1.0]) for number in range(8)])
    found.add([(27.0, [9.0], [2.0])])
    found.add([(0.1 * number, [0.1 * number], [3.0]) for number in range(8, 16)])
    for number in range(16):
        assert found.showed(0.1 * number, 0.1 * number + 0.01, np.array([0.1 * number]))
    assert found.goals(1.2, np.array([1.2])) == [3.0]
