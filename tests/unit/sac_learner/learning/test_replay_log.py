import errno
import os
import re
import shutil

import numpy as np
import pytest
import sac_learner.atomic_file as atomic_file
from helpers.learning import ACTION_SIZE, AGES_SIZE, OBSERVATION_SIZE, make_transition
from sac_learner.atomic_file import StorageError
from sac_learner.learning.replay_log import Kind, ReplayLog, ReplayLogError, record_dtype

RECORD = record_dtype(OBSERVATION_SIZE, ACTION_SIZE, AGES_SIZE).itemsize


def open_log(path, **changes):
    identity = {"task_name": "DClawTest", "observation_size": OBSERVATION_SIZE, "action_size": ACTION_SIZE}
    return ReplayLog(path, **{**identity, **changes}, sync_period_s=0.0)


def write(path, transitions):
    log = open_log(path)
    for transition in transitions:
        log.append(transition, Kind.RECEIVED)
    log.close()
    return log


def stored(log):
    """(session, sequence, kind, span) of every record in order."""
    return [
        (segment.session_id, int(record["sequence"]), Kind(record["kind"]), int(record["span"]))
        for segment in log.segments
        for record in segment.records
    ]


def test_every_field_of_a_transition_comes_back(tmp_path):
    transitions = [make_transition(i) for i in range(25)]
    write(tmp_path, transitions)
    (segment,) = open_log(tmp_path).segments
    assert segment.session_id == "a"
    for transition, record in zip(transitions, segment.records, strict=True):
        for name, value in vars(transition).items():
            if name != "session_id":
                np.testing.assert_array_equal(record[name], value, err_msg=name)


def test_order_over_changing_sessions_and_restarts_is_kept(tmp_path):
    log = open_log(tmp_path)
    log.append(make_transition(0, "a"), Kind.RECEIVED)
    log.append(make_transition(0, "b"), Kind.RECEIVED)
    log.flush(0.0)
    log.append_gap("b", 1, 40, Kind.LOST)
    log.append_gap("b", 41, 1, Kind.REJECTED)
    log.append(make_transition(1, "a"), Kind.REPAIRED)
    log.close()
    again = open_log(tmp_path)
    again.append(make_transition(2, "a"), Kind.RECEIVED)
    again.append(make_transition(3, "a", sensor_ages_s=np.zeros(1, np.float32)), Kind.RECEIVED)
    again.close()
    expected = [
        ("a", 0, Kind.RECEIVED, 1),
        ("b", 0, Kind.RECEIVED, 1),
        ("b", 1, Kind.LOST, 40),
        ("b", 41, Kind.REJECTED, 1),
        ("a", 1, Kind.REPAIRED, 1),
        ("a", 2, Kind.RECEIVED, 1),
        ("a", 3, Kind.RECEIVED, 1),
    ]
    log = open_log(tmp_path)
    assert stored(log) == expected
    assert log.record_count == len(expected)
    assert len(log.segments) == 4


def test_a_tail_torn_at_any_byte_is_reported_and_cut_and_kept_when_the_log_is_written_to(tmp_path):
    write(tmp_path / "whole", [make_transition(i) for i in range(3)])
    data = (tmp_path / "whole" / "000000.replay").read_bytes()
    end_of_second = len(data) - RECORD
    for size in range(end_of_second, len(data)):
        directory = tmp_path / str(size)
        directory.mkdir()
        (directory / "000000.replay").write_bytes(data[:size])
        log = open_log(directory)
        assert [entry[1] for entry in stored(log)] == [0, 1]
        assert bool(log.repairs) == (size > end_of_second)
        open_log(directory).close()
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == {"000000.replay": data[:size]}
        log.append(make_transition(2), Kind.RECEIVED)
        log.close()
        if log.repairs:
            assert (directory / f"000000.replay.{end_of_second}.cut").read_bytes() == data[end_of_second:size]
            assert "torn" in log.repairs[0]
        assert (directory / "000000.replay").read_bytes() == data
        shutil.rmtree(directory)


@pytest.mark.parametrize("byte", [0, 20, RECORD - 5, RECORD - 1])
def test_a_changed_byte_in_the_tail_is_noticed(tmp_path, byte):
    write(tmp_path, [make_transition(i) for i in range(3)])
    path = tmp_path / "000000.replay"
    data = bytearray(path.read_bytes())
    data[len(data) - RECORD + byte] ^= 0x40
    path.write_bytes(data)
    log = open_log(tmp_path)
    assert [entry[1] for entry in stored(log)] == [0, 1]
    assert log.repairs


@pytest.mark.parametrize(("damaged", "behind"), [(0, 5), (3, 2), (4, 1)])
def test_damage_with_whole_records_behind_it_is_no_torn_tail(tmp_path, damaged, behind):
    write(tmp_path, [make_transition(i) for i in range(6)])
    path = tmp_path / "000000.replay"
    data = bytearray(path.read_bytes())
    begin = len(data) - (6 - damaged) * RECORD
    data[begin + 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(ReplayLogError) as error:
        open_log(tmp_path)
    assert f"is damaged at byte {begin} of {len(data)}, and {behind} whole records follow" in str(error.value)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {path.name: bytes(data)}
    # The remedy that it names.
    os.truncate(path, int(re.search(r"truncate -s (\d+) ", str(error.value))[1]))
    assert [entry[1] for entry in stored(open_log(tmp_path))] == list(range(damaged))


def test_a_torn_tail_is_cut_before_another_session_is_written(tmp_path):
    write(tmp_path, [make_transition(i) for i in range(3)])
    path = tmp_path / "000000.replay"
    os.truncate(path, path.stat().st_size - 5)
    log = open_log(tmp_path)
    log.append(make_transition(0, "b"), Kind.RECEIVED)
    log.close()
    assert [entry[:2] for entry in stored(open_log(tmp_path))] == [("a", 0), ("a", 1), ("b", 0)]


def test_an_empty_file_is_no_log(tmp_path):
    (tmp_path / "000000.replay").touch()
    with pytest.raises(ReplayLogError, match="is not a replay log"):
        open_log(tmp_path)


def test_a_segment_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    write(tmp_path, [make_transition(0)])
    (segment,) = open_log(tmp_path).segments

    def no_more(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("sac_learner.learning.replay_log.mmap.mmap", no_more)
    expected = "cannot read .*000000.replay: Too many open files: raise the limit or allow reading it"
    with pytest.raises(StorageError, match=expected):
        open_log(tmp_path)
    with pytest.raises(StorageError, match=expected):
        _ = segment.records


def test_zero_pages_left_by_a_power_cut_are_no_records(tmp_path):
    write(tmp_path, [make_transition(0)])
    with (tmp_path / "000000.replay").open("ab") as file:
        file.write(bytes(5 * RECORD))
    assert [entry[1] for entry in stored(open_log(tmp_path))] == [0]


def test_damage_before_the_last_segment_is_refused(tmp_path):
    write(tmp_path, [make_transition(0, "a"), make_transition(1, "a"), make_transition(0, "b")])
    path = tmp_path / "000000.replay"
    data = path.read_bytes()
    path.write_bytes(data[:-3])
    with pytest.raises(ReplayLogError, match=r"000000.replay is damaged .* restore"):
        open_log(tmp_path)
    path.write_bytes(data[:-RECORD])
    with pytest.raises(ReplayLogError, match=r"000001.replay starts at record 2, but 1 records lie before"):
        open_log(tmp_path)
    path.unlink()
    with pytest.raises(ReplayLogError, match=r"segment 000000.replay is missing"):
        open_log(tmp_path)


@pytest.mark.parametrize("changes", [{"task_name": "Other"}, {"observation_size": 6}, {"action_size": 3}])
def test_log_of_another_run_is_refused(tmp_path, changes):
    write(tmp_path, [make_transition(0)])
    name = next(iter(changes))
    with pytest.raises(ReplayLogError, match=f"belongs to another run: its {name}"):
        open_log(tmp_path, **changes)


def test_foreign_file_damaged_header_and_other_version_are_refused(tmp_path):
    write(tmp_path, [make_transition(0)])
    path = tmp_path / "000000.replay"
    data = path.read_bytes()
    path.write_bytes(b"something else")
    with pytest.raises(ReplayLogError, match="is not a replay log"):
        open_log(tmp_path)
    path.write_bytes(data[:20] + b"X" + data[21:])
    with pytest.raises(ReplayLogError, match="header is damaged"):
        open_log(tmp_path)
    import json
    import struct
    import zlib

    length = struct.unpack_from("<I", data, 8)[0]
    header = json.loads(data[16 : 16 + length]) | {"format_version": 99}
    text = json.dumps(header).encode()
    path.write_bytes(data[:8] + struct.pack("<II", len(text), zlib.crc32(text)) + text + data[16 + length :])
    with pytest.raises(ReplayLogError, match="format version 99"):
        open_log(tmp_path)


def test_a_full_disk_keeps_records_in_memory_and_stores_each_once_later(tmp_path, monkeypatch):
    log = open_log(tmp_path)
    log.append(make_transition(0), Kind.RECEIVED)
    log.flush(0.0)
    for i in range(1, 5):
        log.append(make_transition(i), Kind.RECEIVED)
    real_write, left = os.write, [RECORD + 10]

    def full_disk(descriptor, data):
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real_write(descriptor, bytes(data)[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(atomic_file.os, "write", full_disk)
    with pytest.raises(StorageError, match=rf"No space left .*\({4 * RECORD} bytes needed, \d+ bytes are free\)"):
        log.flush(1.0)
    assert log.pending_bytes == 4 * RECORD
    log.append(make_transition(5), Kind.RECEIVED)
    monkeypatch.undo()
    log.flush(2.0)
    assert log.pending_bytes == 0
    log.close()
    assert [entry[1] for entry in stored(open_log(tmp_path))] == [0, 1, 2, 3, 4, 5]
    assert not open_log(tmp_path).repairs


def test_records_are_forced_onto_the_disk_once_per_period(tmp_path, monkeypatch):
    synced = []
    log = ReplayLog(tmp_path, task_name="t", observation_size=5, action_size=2, sync_period_s=5.0)
    log.append(make_transition(0), Kind.RECEIVED)
    log.flush(0.0)
    monkeypatch.setattr("sac_learner.learning.replay_log.os.fsync", lambda descriptor: synced.append(descriptor))
    for now_s in (1.0, 2.0, 4.9, 5.0, 6.0, 9.9, 10.0, 11.0):
        log.append(make_transition(int(now_s)), Kind.RECEIVED)
        log.flush(now_s)
    assert len(synced) == 2
    log.flush(20.0)
    assert len(synced) == 3
    log.flush(30.0)  # nothing new: nothing to do
    assert len(synced) == 3
