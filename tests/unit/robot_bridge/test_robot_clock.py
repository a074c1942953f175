"""Where robot time begins."""

from robot_bridge.robot_clock import wall_epoch_ns

EPOCH_NS = 1_700_000_000_000_000_000


def test_a_process_that_loses_its_processor_between_two_looks_takes_no_wrong_time():
    now_ns, looks = [0], [0]

    def pass_time():
        looks[0] += 1
        now_ns[0] += 64_000_000 if looks[0] % 3 == 0 and looks[0] < 20 else 100

    def clock():
        pass_time()
        return 1e-9 * now_ns[0]

    def wall():
        pass_time()
        return EPOCH_NS + now_ns[0]

    assert abs(wall_epoch_ns(clock, wall) - EPOCH_NS) < 1000
