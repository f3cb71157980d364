"""Everything that reaches behind aiortc's public face, which has no setting for it. Nothing global is changed.

Read in aiortc 1.16 and aioice 0.13; `pyproject.toml` pins aiortc from above, and `tests/integration/test_peer.py`
notices when a name has moved. Six operations: gather our way, send what was encoded already, take packets
before aiortc's jitter buffer, hear of sender reports, end decoder threads, close the sockets of a connection that
hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import av
import cryptography.hazmat.primitives.serialization  # noqa: F401 - pyOpenSSL would load it in the first visit: 80 ms
from aioice import Candidate as IceCandidate
from aiortc import RTCPeerConnection, RTCRtpTransceiver
from aiortc.codecs import get_decoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket, RtpPacket

from studio.encode import Relay
from studio.gathering import Gathering
from studio.microphone import Decode, opus_decoder


def use_gathering(transceiver: RTCRtpTransceiver, gathering: Gathering) -> None:
    """Offer the candidates that ``gathering`` finds."""
    connection = transceiver.receiver.transport.transport.iceGatherer._connection

    async def gather_ours(component: int, addresses: list[str], timeout: int = 5) -> list[IceCandidate]:
        return await gathering.candidates(connection, component, addresses)

    connection.get_component_candidates = gather_ours  # type: ignore[method-assign]


def codec_of(transceiver: RTCRtpTransceiver) -> RTCRtpCodecParameters | None:
    """Return the codec that the transceiver sends, None where nothing was negotiated."""
    return transceiver._codecs[0] if transceiver._codecs else None


def codec_numbered(transceiver: RTCRtpTransceiver, payload_type: int) -> RTCRtpCodecParameters | None:
    """Return the negotiated codec of a payload type, None if there is none."""
    return next((codec for codec in transceiver._codecs if codec.payloadType == payload_type), None)


def use_relay(transceiver: RTCRtpTransceiver, relay: Relay, on_keyframe_request: Callable[[], None]) -> None:
    """Give the sender our relay before it makes an encoder on the first frame (`RTCRtpSender._next_encoded_frame`)."""
    setattr(transceiver.sender, "_RTCRtpSender__encoder", relay)  # noqa: B010 - a private name
    transceiver.sender._send_keyframe = on_keyframe_request  # type: ignore[method-assign]


class Ear:
    """Stands where aiortc's receiver expects jitter buffer and decoder queue; hands packets straight on."""

    def __init__(self, on_packet: Callable[[RtpPacket], None]) -> None:
        self._on_packet = on_packet

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet; ask for no picture, give nothing to the decoder."""
        if packet.payload:
            self._on_packet(packet)
        return False, None

    def put(self, item: object) -> None:
        """Ignore aiortc's order to end the decoder."""

    def get(self) -> None:
        """Return the order to end, so that the decoder's thread is gone as soon as it has begun."""


def use_ear(transceiver: RTCRtpTransceiver, ear: Ear) -> None:
    """Give the receiver our ear before it begins (`RTCRtpReceiver.receive`, `_handle_rtp_packet`)."""
    for name in ("jitter_buffer", "decoder_queue"):
        assert hasattr(transceiver.receiver, f"_RTCRtpReceiver__{name}")
        setattr(transceiver.receiver, f"_RTCRtpReceiver__{name}", ear)


def sound_decoder(transceiver: RTCRtpTransceiver, payload_type: int) -> Decode | None:
    """Return a decoder for a negotiated payload type; what cannot be decoded comes out as nothing."""
    codec = codec_numbered(transceiver, payload_type)
    if codec is None:
        return None
    if codec.mimeType.lower() == "audio/opus":
        return opus_decoder()
    decoder = get_decoder(codec)

    def decode(data: bytes, pts: int) -> list[av.AudioFrame]:
        try:
            return [frame for frame in decoder.decode(JitterFrame(data, pts)) if isinstance(frame, av.AudioFrame)]
        except av.FFmpegError:
            return []

    return decode


def stop_decoders(pc: RTCPeerConnection) -> None:
    """End the decoder threads, which are no daemons and would keep the process alive; idempotent."""
    for receiver in pc.getReceivers():
        receiver._handle_disconnect()


async def abandon(pc: RTCPeerConnection) -> None:
    """Close the sockets of a connection that would not close."""
    for transceiver in pc.getTransceivers():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await transceiver.receiver.transport.transport.stop()


def use_reports(transceiver: RTCRtpTransceiver, on_report: Callable[[RtcpSrPacket], None]) -> None:
    """Hear of the sender reports that the receiver gets (`RTCDtlsTransport._handle_rtcp_data` calls it)."""
    receiver = transceiver.receiver
    handle = receiver._handle_rtcp_packet

    async def handle_and_tell(packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket):
            on_report(packet)
        await handle(packet)

    receiver._handle_rtcp_packet = handle_and_tell  # type: ignore[method-assign]
