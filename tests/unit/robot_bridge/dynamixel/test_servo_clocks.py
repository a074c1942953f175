"""The servos' clocks tell old answers from new ones, whatever their rate, and never refuse a right one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robot_bridge.dynamixel.servo_clocks import ServoClocks

EVERYONE = np.ones(1, dtype=bool)
PERIODS_S = st.lists(st.floats(0.003, 0.3), min_size=1, max_size=60)
TRIPS_S = st.floats(0.001, 0.02)
RATES = st.floats(0.98, 1.02)


class Answers:
    """A servo whose clock goes at a rate of its own and shows what it was when it looked last."""

    def __init__(self, start_ms, rate):
        self._start_ms, self._rate = start_ms, rate
        self.clocks = ServoClocks(1)

    def tick(self, at_s, late_ms=0.0):
        return np.array([int(self._start_ms + 1e3 * self._rate * at_s - late_ms) % 32768], dtype=np.uint16)

    def lag_ms(self, sent_s, made_s, received_s, late_ms=0.0):
        return float(self.clocks.lag_ms(self.tick(made_s, late_ms), sent_s, received_s)[0])


@given(st.floats(0.0, 32768.0), RATES, PERIODS_S, st.data())
def test_right_answers_are_never_refused(start_ms, rate, periods_s, data):
    answers, now_s = Answers(start_ms, rate), 1000.0
    for period_s in periods_s:
        now_s += period_s
        trip_s = data.draw(TRIPS_S)
        made_s = now_s + trip_s * data.draw(st.floats(0.0, 1.0))
        assert answers.lag_ms(now_s, made_s, now_s + trip_s, data.draw(st.floats(0.0, 1.0))) == 0.0


@given(st.floats(0.0, 32768.0), RATES, PERIODS_S, st.floats(0.015, 3.0), TRIPS_S)
def test_answers_to_earlier_instructions_are_refused(start_ms, rate, periods_s, old_s, trip_s):
    """Answers come within 4 ms of their instruction; the next one waits 20 ms longer before it is sent."""
    answers, now_s = Answers(start_ms, rate), 1000.0
    for period_s in periods_s:
        now_s += period_s
        answers.lag_ms(now_s, now_s + 0.002, now_s + 0.004)
    now_s += 0.03
    assert answers.lag_ms(now_s, now_s - old_s, now_s + trip_s) > 0.0
    assert answers.lag_ms(now_s + 0.03, now_s + 0.032, now_s + 0.034) == 0.0


@given(st.integers(1000, 32768), st.floats(0.3, 5.0))
def test_a_restarted_clock_is_told(start_ms, off_s):
    answers = Answers(start_ms, 1.0)
    answers.lag_ms(0.0, 0.001, 0.004)
    tick = np.array([100], dtype=np.uint16)
    due_ms = start_ms + 1e3 * off_s
    agrees = abs((due_ms - 100 + 16384) % 32768 - 16384) < 400.0
    assert agrees or answers.clocks.lag_ms(tick, off_s, off_s + 0.004)[0] != 0.0


def test_after_a_long_silence_any_time_is_right():
    answers = Answers(0.0, 1.0)
    answers.lag_ms(0.0, 0.001, 0.004)
    assert answers.clocks.lag_ms(np.array([1], dtype=np.uint16), 1000.0, 1000.004)[0] == 0.0
    assert answers.clocks.lag_ms(np.array([9], dtype=np.uint16), 1000.1, 1000.104)[0] != 0.0
    answers.clocks.forget(EVERYONE)
    assert answers.clocks.lag_ms(np.array([9], dtype=np.uint16), 1000.1, 1000.104)[0] == 0.0
