from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.beat import SAMPLE_RATE
from studio.microphone import HELD, STALE, Microphone, Order, SoundPacket, opus_decoder
from tests.fakes import speech

PACKET = 320
"""Samples of 20 ms at 16 kHz."""


def packet(number: int, arrived: float | None = None, start: int = 0, origin: int = 0) -> SoundPacket:
    when = number * 0.02 if arrived is None else arrived
    timestamp = (origin + number * PACKET) % (1 << 32)
    return SoundPacket((start + number) % 65536, timestamp, bytes([number % 256]), when)


def decode(data: bytes, pts: int) -> Sequence[av.AudioFrame]:
    """Sound as loud as its packet's number."""
    frame = av.AudioFrame.from_ndarray(np.full((1, PACKET), data[0] + 1, np.int16), format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, pts, Fraction(1, SAMPLE_RATE)
    return [frame]


def numbers(packets: Sequence[SoundPacket]) -> list[int]:
    return [one.data[0] for one in packets]


def test_packets_in_order_wait_for_nobody() -> None:
    order = Order()
    assert [numbers(order.put(packet(i))) for i in range(4)] == [[0], [1], [2], [3]]


def test_packet_that_comes_late_is_waited_for() -> None:
    order = Order()
    assert [numbers(order.put(packet(i))) for i in (0, 2, 1, 3)] == [[0], [], [1, 2], [3]]


def test_packet_that_never_comes_is_given_up_after_two() -> None:
    order = Order()
    assert [numbers(order.put(packet(i))) for i in (0, 2, 3, 4, 1, 5)] == [[0], [], [], [2, 3, 4], [], [5]]


def test_doubles_are_dropped() -> None:
    order = Order()
    assert [numbers(order.put(packet(i))) for i in (0, 0, 1, 1)] == [[0], [], [1], []]


def test_numbers_wrap() -> None:
    order = Order()
    assert [numbers(order.put(packet(i, start=65534))) for i in (0, 1, 3, 2, 4)] == [[0], [1], [], [2, 3], [4]]


def test_another_sequence_begins_anew() -> None:
    order = Order()
    order.put(packet(0))
    assert numbers(order.put(packet(1, start=30_000))) == [1]
    assert numbers(order.put(packet(2, start=30_000))) == [2]


@given(st.permutations(range(12)))
def test_order_never_goes_back_and_holds_little(numbers_: list[int]) -> None:
    order, out = Order(), []
    for number in numbers_:
        out += numbers(order.put(packet(number)))
        assert len(order._held) <= HELD
    assert out == sorted(set(out))


def heard(microphone: Microphone, *packets: SoundPacket) -> list[int]:
    pieces = [pcm for one in packets for _, pcm in microphone.receive(one, decode)]
    return [int(v) for v in np.concatenate([np.zeros(0, np.int16), *pieces])[PACKET // 2 :: PACKET]]


def test_microphone_hears_every_packet_once() -> None:
    assert heard(Microphone(), *(packet(i) for i in range(5))) == [1, 2, 3, 4, 5]


def test_lost_packets_become_silence_of_their_length() -> None:
    assert heard(Microphone(), *(packet(i) for i in (0, 1, 4, 5, 6, 7))) == [1, 2, 0, 0, 5, 6, 7, 8]


def test_timestamps_wrap_without_a_gap() -> None:
    origin = (1 << 32) - 2 * PACKET
    assert heard(Microphone(), *(packet(i, origin=origin) for i in range(5))) == [1, 2, 3, 4, 5]


def test_long_hole_is_not_filled() -> None:
    assert heard(Microphone(), packet(0), *(packet(90 + i) for i in range(3))) == [1, 91, 92, 93]


def test_arrival_is_that_of_the_packet_itself() -> None:
    microphone = Microphone()
    microphone.receive(packet(0), decode)
    assert microphone.receive(packet(2, arrived=0.05), decode) == []
    out = microphone.receive(packet(1, arrived=0.07), decode)
    assert [arrived for arrived, _ in out] == [0.07, 0.05]


def test_sound_that_is_too_old_when_it_comes_is_dropped_and_counted() -> None:
    microphone = Microphone()
    assert heard(microphone, *(packet(i) for i in range(3))) == [1, 2, 3]
    late = [packet(i, arrived=i * 0.02 + STALE + 0.1) for i in range(3, 6)]
    assert heard(microphone, *late) == []
    assert microphone.stale == 3
    assert heard(microphone, packet(6)) == [7]


def test_clock_that_drifts_drops_nothing() -> None:
    microphone = Microphone()
    out = [packet(i, arrived=i * 0.02 * 1.0003) for i in range(50 * 60)]
    for one in out:
        microphone.receive(one, decode)
    assert microphone.stale == 0


def opus(seconds: float, layout: str = "stereo") -> list[bytes]:
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = 48_000, layout, "s16"
    channels = 2 if layout == "stereo" else 1
    wave = np.repeat(speech(seconds), 3 * channels).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout=layout)
    frame.sample_rate = 48_000
    return [bytes(one) for one in [*codec.encode(frame), *codec.encode(None)]]


@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_opus_comes_out_as_what_went_in(layout: str) -> None:
    microphone, decoder = Microphone(), opus_decoder()
    packets = [SoundPacket(i, i * 960, data, i * 0.02) for i, data in enumerate(opus(1.0, layout))]
    pcm = np.concatenate([pcm for one in packets for _, pcm in microphone.receive(one, decoder)])
    assert abs(len(pcm) - SAMPLE_RATE) < 800
    level = np.sqrt(np.mean(np.square(pcm[3000:15_000].astype(float))))
    original = np.sqrt(np.mean(np.square(speech(1.0).astype(float))))
    assert level == pytest.approx(original, rel=0.2)


def test_opus_that_makes_no_sense_is_nothing() -> None:
    decoder = opus_decoder()
    assert not decoder(b"\xff" * 3, 0)
    assert decoder(opus(0.1)[0], 960)


@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_each_packet_yields_its_own_length_although_the_filter_keeps_some_back(rate: int) -> None:
    microphone, lengths = Microphone(), []
    for n in range(4):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, rate // 50), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, n * rate // 50, Fraction(1, rate)
        lengths.append(len(microphone.hear(frame, 0.02 * n)))
    assert sum(lengths) == 4 * PACKET and max(lengths) <= PACKET
