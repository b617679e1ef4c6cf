"""Which packets are retransmitted."""

from __future__ import annotations

from gpuview.media.rtp.history import History, SentPacket


def history(*numbers: int) -> History:
    kept = History()
    for number in numbers:
        kept.add(SentPacket(number, 0, True, b"%d" % number))
    return kept


def test_lost_packet_is_found() -> None:
    packet = history(1, 2, 3).take_lost(2, 0.0, None)
    assert packet is not None
    assert packet.payload == b"2"


def test_packets_that_were_never_sent_or_are_too_old_are_not() -> None:
    kept = history(*range(3000))
    assert all(kept.take_lost(number, 0.0, None) is None for number in [*range(952), 3000, 65535])
    assert all(kept.take_lost(number, 0.0, None) for number in range(952, 3000))


def test_packet_is_not_repeated_before_its_repetition_can_have_arrived() -> None:
    kept = history(1)
    assert kept.take_lost(1, 10.0, 0.2)
    assert kept.take_lost(1, 10.19, 0.2) is None
    assert kept.take_lost(1, 10.21, 0.2)


def test_newest_packets_come_backwards_across_the_wrap() -> None:
    kept = history(65534, 65535, 0, 1)
    assert [each.number for each in kept.newest()] == [1, 0, 65535, 65534]
    assert len(list(history(*range(100)).newest())) == 32
    assert list(History().newest()) == []


def test_nothing_that_is_forgotten_is_repeated() -> None:
    kept = history(1, 2)
    kept.clear()
    assert kept.take_lost(1, 0.0, None) is None
    assert list(kept.newest()) == []
